"""LiteLLM's client, which aider and others speak through: prints what it saw, as JSON."""

import json
import os

import litellm

litellm.suppress_debug_info = True
ours = {
    "model": "openai/gpt-4o",
    "api_base": os.environ["BASE_URL"],
    "api_key": os.environ["API_KEY"],
    "num_retries": 0,
}
say = [{"role": "user", "content": "Bonjour"}]
weather = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def error_of(**request: object) -> str:
    try:
        litellm.completion(messages=say, **{**ours, **request})
    except Exception as error:  # noqa: BLE001 - what it is called is the result
        return type(error).__name__
    return "none"


tools = litellm.completion(messages=say, tools=[weather], **ours).choices[0].message.tool_calls
print(
    json.dumps(
        {
            "tools": [json.loads(call.function.arguments) for call in tools],
            "chat": litellm.completion(messages=say, **ours).choices[0].message.content,
            "stream": "".join(
                piece.choices[0].delta.content or "" for piece in litellm.completion(messages=say, stream=True, **ours)
            ),
            "errors": error_of(model="openai/gpt-99"),
        }
    )
)
