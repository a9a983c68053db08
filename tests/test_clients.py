"""Clients that people have already, with only their address and key changed, against the running product."""

from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from conftest import key_of, person
from tests.concurrency import eventually
from tests.product import Product
from tests.standins.provider import ProviderStandIn, cut_stream, error
from usage.models import UsageLog
from usage.redis import client as redis

pytestmark = pytest.mark.live

SAY: Any = [{"role": "user", "content": "Bonjour"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oran"}'}}


class Weather(BaseModel):
    city: str
    celsius: int


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"22 °C in {city}"


@pytest.fixture
def key(product: Product) -> str:
    return key_of(person("alice@example.dz", "pro"))


@pytest.fixture
def sdk(product: Product, key: str) -> Any:
    return openai.OpenAI(base_url=f"{product.url}/v1", api_key=key)


@pytest.fixture
def langchain(product: Product, key: str) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o", base_url=f"{product.url}/v1", api_key=key, stream_usage=True)  # type: ignore[arg-type]


def test_sdk_chat(sdk: Any) -> None:
    answer = sdk.chat.completions.create(model="gpt-4o", messages=SAY)
    assert answer.choices[0].message.content == "Bonjour, je suis là."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens > 0


def test_sdk_raw_headers(sdk: Any) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model="gpt-4o", messages=SAY)
    assert raw.headers["x-iaf-provider"] == "openrouter"
    assert float(raw.headers["x-iaf-cost"]) > 0


def test_sdk_stream(sdk: Any) -> None:
    chunks = list(
        sdk.chat.completions.create(model="gpt-4o", messages=SAY, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.strip() == "Bonjour, je suis là."
    assert chunks[-1].usage.completion_tokens == 4


def test_sdk_tools(sdk: Any, standin_server: ProviderStandIn) -> None:
    standin_server["openrouter"].message = {"content": None, "tool_calls": [CALL]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    message = sdk.chat.completions.create(model="gpt-4o", messages=SAY, tools=tools).choices[0].message
    assert message.tool_calls[0].function.arguments == '{"city": "Oran"}'
    follow_up = [*SAY, message, {"role": "tool", "tool_call_id": "c1", "content": "22 °C"}]
    sdk.chat.completions.create(model="gpt-4o", messages=follow_up, tools=tools)
    sent = standin_server["openrouter"].calls[-1].body["messages"]
    assert [entry["role"] for entry in sent] == ["user", "assistant", "tool"]


def test_sdk_json_schema(sdk: Any, standin_server: ProviderStandIn) -> None:
    standin_server["openrouter"].text = '{"city": "Oran", "celsius": 22}'
    answer = sdk.chat.completions.parse(model="gpt-4o", messages=SAY, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Oran", celsius=22)
    assert standin_server["openrouter"].calls[0].body["response_format"]["type"] == "json_schema"


def test_sdk_errors(product: Product, sdk: Any, standin_server: ProviderStandIn) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-99"):
        sdk.chat.completions.create(model="gpt-99", messages=SAY)
    with pytest.raises(openai.BadRequestError):
        sdk.chat.completions.create(model="gpt-4o", messages=SAY, temperature=7)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{product.url}/v1", api_key="iaf_wrong").models.list()
    assert standin_server["openrouter"].calls == []


def test_sdk_does_not_try_a_spent_quota_again(product: Product, standin_server: ProviderStandIn) -> None:
    sent: list[Any] = []
    free = openai.OpenAI(
        base_url=f"{product.url}/v1",
        api_key=key_of(person("charlie@example.dz")),
        http_client=openai.DefaultHttpxClient(event_hooks={"request": [sent.append]}),
    )
    for _ in range(3):
        free.chat.completions.create(model="gpt-4o", messages=SAY)
    with pytest.raises(openai.RateLimitError) as refusal:
        free.chat.completions.create(model="gpt-4o", messages=SAY)
    assert refusal.value.code == "quota_exceeded"
    assert len(sent) == 4


def test_sdk_a_stream_that_breaks_raises(sdk: Any, standin_server: ProviderStandIn) -> None:
    standin_server["openrouter"].faults = [cut_stream(2)]
    seen = []
    with pytest.raises(openai.APIError, match="provider failed"):
        seen.extend(sdk.chat.completions.create(model="gpt-4o", messages=SAY, stream=True))
    assert len(seen) == 2


def test_sdk_hanging_up_ends_the_hold(sdk: Any, standin_server: ProviderStandIn) -> None:
    standin_server["openrouter"].words = ["mot"] * 1000
    standin_server["openrouter"].pace = 0.01
    with sdk.chat.completions.create(model="gpt-4o", messages=SAY, stream=True) as answer:
        next(iter(answer))
    assert_hung_up(standin_server)


def assert_hung_up(standin_server: ProviderStandIn) -> None:
    """The provider's work ended, and what was held for it is free again."""
    row = eventually(UsageLog.objects.filter(finish_reason="client_gone").first)
    assert row.estimated
    # It notices when it says its next word.
    eventually(lambda: standin_server["openrouter"].hung_up == 1)
    assert redis().hgetall(f"budget:{redis().get('budget:day')}:users")[f"{row.user_id}:held"] == "0"


def test_sdk_images_and_a_prompt_too_long(sdk: Any, standin_server: ProviderStandIn) -> None:
    parts = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]
    sdk.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": parts}], max_tokens=50)
    assert standin_server["openrouter"].calls[0].body["messages"][0]["content"] == parts
    with pytest.raises(openai.BadRequestError, match="takes no images"):
        sdk.chat.completions.create(model="grok-2", messages=[{"role": "user", "content": parts}])
    with pytest.raises(openai.BadRequestError) as refusal:
        sdk.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "a" * 1_100_000}])
    assert refusal.value.code == "context_length_exceeded"


def test_sdk_streams_tools_by_its_own_helper(sdk: Any, standin_server: ProviderStandIn) -> None:
    """It puts the parts of the calls together itself, and parses them."""
    standin_server["openrouter"].message = {"tool_calls": [CALL, {**CALL, "id": "c2"}]}
    tools = [{"type": "function", "function": {"name": "weather", "strict": True, "parameters": {"type": "object"}}}]
    with sdk.chat.completions.stream(model="gpt-4o", messages=SAY, tools=tools) as answer:
        calls = answer.get_final_completion().choices[0].message.tool_calls
    assert [(call.id, call.function.arguments) for call in calls] == [
        ("c1", '{"city": "Oran"}'),
        ("c2", '{"city": "Oran"}'),
    ]


def test_sdk_models(sdk: Any) -> None:
    assert "gpt-4o" in {model.id for model in sdk.models.list()}
    assert sdk.models.retrieve("llama-3.3").owned_by == "Meta"


def test_langchain_chat(langchain: ChatOpenAI) -> None:
    answer = langchain.invoke([HumanMessage("Bonjour")])
    assert answer.text == "Bonjour, je suis là."
    assert answer.response_metadata["model_name"] == "gpt-4o"


def test_langchain_stream(langchain: ChatOpenAI) -> None:
    whole: Any = None
    for chunk in langchain.stream("Bonjour"):
        whole = chunk if whole is None else whole + chunk
    assert whole.text.strip() == "Bonjour, je suis là."
    assert whole.usage_metadata["output_tokens"] == 4


def test_langchain_tools(langchain: ChatOpenAI, standin_server: ProviderStandIn) -> None:
    standin_server["openrouter"].message = {"content": None, "tool_calls": [CALL]}
    answer = langchain.bind_tools([weather]).invoke("Météo à Oran ?")
    assert isinstance(answer, AIMessage)
    assert answer.tool_calls[0]["args"] == {"city": "Oran"}
    streamed = list(langchain.bind_tools([weather]).stream("Météo à Oran ?"))
    assert any(getattr(chunk, "tool_call_chunks", None) for chunk in streamed)


def test_langchain_json_schema(langchain: ChatOpenAI, standin_server: ProviderStandIn) -> None:
    standin_server["openrouter"].text = '{"city": "Oran", "celsius": 22}'
    assert langchain.with_structured_output(Weather).invoke("Météo ?") == Weather(city="Oran", celsius=22)


def test_langchain_hanging_up_ends_the_hold(langchain: ChatOpenAI, standin_server: ProviderStandIn) -> None:
    standin_server["openrouter"].words = ["mot"] * 1000
    standin_server["openrouter"].pace = 0.01
    pieces = langchain.stream("Bonjour")
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert_hung_up(standin_server)


def test_langchain_errors(langchain: ChatOpenAI, standin_server: ProviderStandIn) -> None:
    standin_server["openrouter"].faults = [error(400, {"error": {"message": "bad"}})]
    with pytest.raises(openai.BadRequestError, match="declined"):
        langchain.invoke("Bonjour")
