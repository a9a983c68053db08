// The openai SDK for Node, and the `eventsource` package, read the answers of every model in MODELS (JSON) from BASE_URL
// with API_KEY: prints what they saw of each, as JSON.
import { EventSource } from "eventsource";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0 });
const messages = [{ role: "user", content: "Bonjour. ".repeat(250) }];

const seenOf = ({ message, finish_reason }) => ({
  text: message.content ?? "",
  calls: (message.tool_calls ?? []).map((call) => ({
    name: call.function.name,
    arguments: JSON.parse(call.function.arguments),
  })),
  finish: finish_reason,
});

// An EventSource asks with GET; its `fetch` may be another.
const read = (model) =>
  new Promise((resolve, reject) => {
    let text = "";
    const ask = (url, init) =>
      fetch(url, {
        ...init,
        method: "POST",
        headers: { ...init.headers, Authorization: `Bearer ${process.env.API_KEY}`, "Content-Type": "application/json" },
        body: JSON.stringify({ model, messages, max_tokens: 300, stream: true }),
      });
    const source = new EventSource(`${process.env.BASE_URL}/chat/completions`, { fetch: ask });
    source.onmessage = ({ data }) => {
      if (data === "[DONE]") {
        source.close();
        resolve(text);
      } else {
        text += JSON.parse(data).choices[0]?.delta?.content ?? "";
      }
    };
    source.onerror = (error) => {
      source.close();
      reject(new Error(`${model}: ${error.message}`));
    };
  });

const seen = {};
for (const model of JSON.parse(process.env.MODELS)) {
  const asked = { model, messages, max_tokens: 300 };
  const whole = await client.chat.completions.create(asked);
  const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
  seen[model] = {
    whole: seenOf(whole.choices[0]),
    streamed: seenOf(streamed.choices[0]),
    events: await read(model),
  };
}
console.log(JSON.stringify(seen));
