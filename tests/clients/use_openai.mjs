// The openai SDK for Node against BASE_URL with API_KEY: prints what it saw, as JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY });
const messages = [{ role: "user", content: "Bonjour" }];
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];

const called = await client.chat.completions.create({ model: "gpt-4o", messages, tools });
const chat = await client.chat.completions.create({ model: "gpt-4o", messages });
let stream = "";
for await (const piece of await client.chat.completions.create({ model: "gpt-4o", messages, stream: true })) {
  stream += piece.choices[0]?.delta?.content ?? "";
}
const errors = await client.chat.completions.create({ model: "gpt-99", messages }).catch((error) => error.constructor.name);
console.log(
  JSON.stringify({
    tools: called.choices[0].message.tool_calls.map((call) => JSON.parse(call.function.arguments)),
    chat: chat.choices[0].message.content,
    stream,
    errors,
  }),
);
