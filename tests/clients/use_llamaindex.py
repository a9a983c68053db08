"""LlamaIndex against BASE_URL with API_KEY: prints what it saw, as JSON. Runs in an environment of its own."""

import json
import os

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike


def weather(city: str) -> str:
    """The weather in a city."""
    return f"22 °C in {city}"


llm = OpenAILike(
    model="gpt-4o",
    api_base=os.environ["BASE_URL"],
    api_key=os.environ["API_KEY"],
    is_chat_model=True,
    is_function_calling_model=True,
)
say = [ChatMessage(role="user", content="Bonjour")]
tool = FunctionTool.from_defaults(weather)
calls = llm.get_tool_calls_from_response(llm.chat_with_tools([tool], user_msg="Météo à Oran ?"))
print(
    json.dumps(
        {
            "chat": llm.chat(say).message.content,
            "stream": "".join(piece.delta or "" for piece in llm.stream_chat(say)),
            "tools": [call.tool_kwargs for call in calls],
        }
    )
)
