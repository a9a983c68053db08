"""A provider of the OpenAI dialect is one entry of data: here one is added, and serves."""

from pathlib import Path
from typing import Any

import pytest

from iafactory.keys.checking import Outcome, targets
from llmrouter.catalogue import forget_catalogue
from llmrouter.checks import keys_can_be_sent
from llmrouter.models import Model, Route
from llmrouter.providers import registry
from llmrouter.providers.registry import PROVIDERS, connection, load
from tests.standins.provider import ProviderStandIn

from .talking import Talker, events_of

pytestmark = pytest.mark.django_db

CONTRACT = (
    "GROQ OPENROUTER OPENAI ANTHROPIC GEMINI MISTRAL DEEPSEEK TOGETHER FIREWORKS COHERE PERPLEXITY XAI CEREBRAS "
    "SAMBANOVA DEEPINFRA MOONSHOT DASHSCOPE HUGGINGFACE OLLAMA"
)
ENTRY = """
[wahaoran]
base_url = "https://api.waha.example/v1"
console = "https://waha.example/keys"
key_shape = "waha-[a-z0-9]{8}"
check = { path = "/models" }
cap_field = "max_completion_tokens"
drops = ["seed"]
usage = "never-ask"
"""


def test_all_of_the_contracts_providers_are_there() -> None:
    assert set(CONTRACT.lower().split()) <= set(PROVIDERS)
    for provider in PROVIDERS.values():
        if provider.dialect != "demo":
            assert provider.base_url.startswith("http"), provider.name
            assert provider.console.startswith("https://"), provider.name
            assert provider.keyless or provider.key_shape, provider.name


def test_one_entry_adds_a_provider(
    pro: Talker, standin: ProviderStandIn, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "registry.toml"
    file.write_text(ENTRY)
    monkeypatch.setitem(PROVIDERS, "wahaoran", load(file)["wahaoran"])
    settings.ENVIRONMENT |= {"WAHAORAN_API_KEY": "waha-12345678", "WAHAORAN_BASE_URL": standin.url("wahaoran")}
    registry.forget_connections()
    model = Model.objects.create(name="waha-1", title="Waha", vendor="Waha", context_window=9000, max_output_tokens=900)
    Route.objects.create(model=model, provider="wahaoran", upstream="waha/one", input_price=1, output_price=2)
    forget_catalogue()
    answer = pro.say(model="waha-1")
    assert (answer["provider"], answer["model"]) == ("wahaoran", "waha-1")
    assert answer["cost"] > 0
    events_of(pro.complete(model="waha-1", stream=True, seed=4))
    plain, streamed = standin["wahaoran"].calls
    assert plain.key == "waha-12345678"
    assert plain.body["max_completion_tokens"] == 900
    assert "seed" not in streamed.body
    assert "stream_options" not in streamed.body


def test_a_key_does_not_show(settings: Any) -> None:
    settings.ENVIRONMENT = {"GROQ_API_KEY": "gsk_one, gsk_two"}
    registry.forget_connections()
    found = connection("groq")
    assert found is not None
    assert [key.text for key in found.keys] == ["gsk_one", "gsk_two"]
    assert "gsk_one" not in repr(found)


def test_a_key_that_no_header_can_carry_is_not_used(pro: Talker, standin: ProviderStandIn, settings: Any) -> None:
    settings.ENVIRONMENT["OPENROUTER_API_KEY"] = "sk\u2013one,sk-two,sk-\u200bthree"
    for _ in range(3):
        assert pro.say()["provider"] == "openrouter"
    assert {call.key for call in standin["openrouter"].calls} == {"sk-two"}
    assert [message.id for message in keys_can_be_sent()] == ["llmrouter.W002"]
    checked = {target.ordinal: target.ask().outcome for target in targets() if target.provider == "openrouter"}
    assert [number for number, outcome in checked.items() if outcome == Outcome.REFUSED] == [1, 3]
    settings.ENVIRONMENT["OPENROUTER_API_KEY"] = "sk-two"
    registry.forget_connections()
    assert keys_can_be_sent() == []


def test_an_address_of_ones_own(settings: Any) -> None:
    settings.ENVIRONMENT = {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": "http://127.0.0.1:1/v9/"}
    registry.forget_connections()
    found = connection("openai")
    assert found is not None
    assert found.base_url == "http://127.0.0.1:1/v9"


def test_the_demo_is_there_only_while_nobody_else_is(settings: Any) -> None:
    settings.ENVIRONMENT = {}
    registry.forget_connections()
    assert connection("demo") is not None
    settings.ENVIRONMENT = {"GROQ_API_KEY": "x"}
    registry.forget_connections()
    assert connection("demo") is None
    settings.ENVIRONMENT, settings.PRODUCTION = {}, True
    registry.forget_connections()
    assert connection("demo") is None


def test_the_demo_answers_and_says_what_it_is(pro: Talker, settings: Any) -> None:
    settings.ENVIRONMENT = {}
    registry.forget_connections()
    forget_catalogue()
    answer = pro.say(prompt="Salut")
    assert (answer["provider"], answer["model"], answer["cost"]) == ("demo", "demo", 0)
    assert "Salut" in answer["response"]
