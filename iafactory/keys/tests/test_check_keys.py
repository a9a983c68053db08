"""check_keys against a server that plays all providers and Chargily over real HTTP."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from iafactory.alerts import rules
from iafactory.keys import checking, results
from iafactory.keys.checking import Outcome
from iafactory.keys.models import KeyCheck
from llmrouter.providers import registry
from tests.standins.webhook import Answer, Listener
from usage import health

from .sample import CHARGILY, KEYS, some

pytestmark = pytest.mark.django_db

BAD_CHAT = Answer(400, {"error": {"message": "no such model", "code": "invalid_request_error"}})
# Those whose check says yes by refusing a model that does not exist.
BY_REFUSAL = {"perplexity", "sambanova", "deepinfra", "dashscope"}


def configure(settings: Any, listener: Listener, **keys: str) -> None:
    """These keys, and each provider at an address of its own."""
    settings.ENVIRONMENT = {f"{name.upper()}_API_KEY": key for name, key in keys.items()}
    settings.ENVIRONMENT |= {f"{name.upper()}_BASE_URL": f"{listener.url}/{name}" for name in keys}
    registry.forget_connections()


def answers(listener: Listener, name: str, answer: Answer) -> None:
    listener.answers[f"/{name}{registry.PROVIDERS[name].check.path}"] = answer


def run(*arguments: str) -> tuple[str, str, int]:
    """What it says, its progress, and its exit status."""
    output, progress, status = StringIO(), StringIO(), 0
    try:
        call_command("check_keys", *arguments, stdout=output, stderr=progress)
    except CommandError as error:
        status = error.returncode
        progress.write(str(error))
    return output.getvalue(), progress.getvalue(), status


def test_every_provider_and_chargily_accepts(listener: Listener, settings: Any) -> None:
    configure(settings, listener, **KEYS)
    settings.ENVIRONMENT["OLLAMA_BASE_URL"] = f"{listener.url}/ollama"
    settings.CHARGILY_SECRET_KEY, settings.CHARGILY_MODE = CHARGILY, "test"
    settings.CHARGILY_BASE_URL = f"{listener.url}/chargily"
    for name in BY_REFUSAL:
        answers(listener, name, BAD_CHAT)
    said, progress, status = run()
    assert status == 0, said
    assert "Keys configured: 20; failing: 0; providers not configured: 0." in said
    assert "20/20 " in progress
    assert {row.outcome for row in KeyCheck.objects.all()} == {"accepted"}
    assert all(row.well_formed for row in KeyCheck.objects.all())
    arrived = {received.path.split("/")[1]: received for received in listener.received}
    assert set(arrived) == {*KEYS, "ollama", "chargily"}
    for name, key in {**KEYS, "chargily": CHARGILY}.items():
        assert key in (arrived[name].headers.get("authorization", "") + arrived[name].headers.get("x-api-key", ""))
        assert key not in said + progress


@pytest.mark.parametrize(
    ("name", "answer", "outcome"),
    [
        ("groq", Answer(401, {"error": {"message": "bad", "code": "invalid_api_key"}}), Outcome.REFUSED),
        ("openrouter", Answer(200, {"data": {"limit_remaining": 0}}), Outcome.OUT_OF_CREDIT),
        ("openrouter", Answer(200, {"data": {"limit_remaining": None}}), Outcome.ACCEPTED),
        ("openrouter", Answer(402, {"error": {"message": "Insufficient credits", "code": 402}}), Outcome.OUT_OF_CREDIT),
        ("openai", Answer(429, {"error": {"type": "insufficient_quota"}}), Outcome.OUT_OF_CREDIT),
        ("openai", Answer(429, {"error": {"code": "rate_limit_exceeded"}}), Outcome.BUSY),
        ("anthropic", Answer(401, {"error": {"type": "authentication_error"}}), Outcome.REFUSED),
        (
            "gemini",
            Answer(400, [{"error": {"code": 400, "details": [{"reason": "API_KEY_INVALID"}]}}]),
            Outcome.REFUSED,
        ),
        ("deepseek", Answer(200, {"is_available": False}), Outcome.OUT_OF_CREDIT),
        ("moonshot", Answer(200, {"data": {"available_balance": -0.5}}), Outcome.OUT_OF_CREDIT),
        ("together", Answer(200, [{"id": "a-model"}]), Outcome.ACCEPTED),
        ("xai", Answer(400, {"error": "Incorrect API key provided"}), Outcome.REFUSED),
        ("perplexity", Answer(401, b""), Outcome.REFUSED),
        ("sambanova", Answer(404, {"error": {"code": "model_not_found"}}), Outcome.ACCEPTED),
        ("dashscope", Answer(400, {"code": "Arrearage"}), Outcome.OUT_OF_CREDIT),
        ("cohere", Answer(200, b"<html>hello</html>"), Outcome.UNCLEAR),
        ("mistral", Answer(503, b"down"), Outcome.UNREACHABLE),
        ("cerebras", Answer(302, b"", {"Location": "/elsewhere"}), Outcome.UNCLEAR),
    ],
)
def test_what_an_answer_means(listener: Listener, settings: Any, name: str, answer: Answer, outcome: Outcome) -> None:
    configure(settings, listener, **{name: KEYS[name]})
    answers(listener, name, answer)
    said, progress, status = run()
    assert KeyCheck.objects.get().outcome == outcome
    assert status == int(outcome.bad)
    assert (registry.PROVIDERS[name].console in said) == outcome.needs_console
    assert KEYS[name] not in said + progress
    assert len(listener.received) == 1


def test_several_keys_of_one_provider(listener: Listener, settings: Any) -> None:
    second = KEYS["groq"][:-4] + "zzzz"
    configure(settings, listener, groq=f"{KEYS['groq']},{second}")
    answers(listener, "groq", Answer(401))
    said, _progress, status = run()
    assert status == 1
    assert "GROQ_API_KEY no. 1 of 2" in said
    assert "GROQ_API_KEY no. 2 of 2" in said
    assert KeyCheck.objects.count() == 2


def test_a_key_that_was_taken_out_is_forgotten(listener: Listener, settings: Any) -> None:
    configure(settings, listener, groq=KEYS["groq"])
    run()
    configure(settings, listener, openrouter=KEYS["openrouter"])
    run()
    assert [row.provider for row in KeyCheck.objects.all()] == ["openrouter"]


def test_an_unreachable_provider_fails(settings: Any) -> None:
    settings.ENVIRONMENT = {"GROQ_API_KEY": KEYS["groq"], "GROQ_BASE_URL": "http://127.0.0.1:1/v1"}
    registry.forget_connections()
    said, _progress, status = run()
    assert status == 1
    assert "unreachable" in said


@pytest.mark.parametrize("name", ["openai", "groq", "sambanova", "mistral", "dashscope"])
def test_another_providers_key_is_not_sent(settings: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(checking, "call", lambda *_: pytest.fail("it was sent"))
    settings.ENVIRONMENT = {f"{name.upper()}_API_KEY": KEYS["anthropic"]}
    registry.forget_connections()
    said, _progress, status = run()
    assert status == 1
    assert "another's" in said


def test_at_an_address_of_ones_own_it_is(listener: Listener, settings: Any) -> None:
    configure(settings, listener, openai=KEYS["openrouter"])
    assert run()[2] == 0
    assert len(listener.received) == 1


def test_an_odd_shape_is_said_and_the_key_tried_all_the_same(listener: Listener, settings: Any) -> None:
    configure(settings, listener, groq="gsk" + "_short")
    _said, _progress, status = run()
    assert status == 0
    assert not KeyCheck.objects.get().well_formed


@pytest.mark.parametrize("name", ["cohere", "huggingface"])
def test_another_address_is_the_only_one(listener: Listener, settings: Any, name: str) -> None:
    """Their usual check lies on another host."""
    configure(settings, listener, **{name: KEYS[name]})
    (connection,) = registry.connections()
    assert connection.check_url == f"{listener.url}/{name}/models"
    settings.ENVIRONMENT.pop(f"{name.upper()}_BASE_URL")
    registry.forget_connections()
    (connection,) = registry.connections()
    assert connection.check_url == registry.PROVIDERS[name].check.url


def test_every_provider_can_be_checked() -> None:
    for provider in registry.PROVIDERS.values():
        assert provider.dialect == "demo" or (provider.console and provider.check.path), provider.name
        assert provider.keyless or provider.knows_shape(KEYS[provider.name]), provider.name


def test_a_dry_run_calls_nobody(listener: Listener, settings: Any) -> None:
    configure(settings, listener, groq=KEYS["groq"])
    said, _progress, status = run("--dry-run")
    assert (status, listener.received, KeyCheck.objects.count()) == (0, [], 0)
    assert "not tried" in said


def test_only_one(listener: Listener, settings: Any) -> None:
    configure(settings, listener, groq=KEYS["groq"], openrouter=KEYS["openrouter"])
    run("--provider", "groq")
    assert [row.provider for row in KeyCheck.objects.all()] == ["groq"]
    with pytest.raises(CommandError, match="There is no provider grok"):
        call_command("check_keys", "--provider", "grok")


def test_chargily_refuses(listener: Listener, settings: Any) -> None:
    settings.CHARGILY_SECRET_KEY, settings.CHARGILY_MODE = CHARGILY, "test"
    settings.CHARGILY_BASE_URL = listener.url
    listener.answers["/balance"] = Answer(401, b"")
    said, progress, status = run()
    assert status == 1
    assert checking.CHARGILY_CONSOLE in said
    assert CHARGILY not in said + progress


def alerts_of_keys() -> list[tuple[str, str]]:
    (rule,) = (rule for rule in rules.RULES if rule.name == "key")
    return [(alert.level, alert.message) for alert in rules.look([rule]).alerts]


def test_a_refused_key_is_an_alert_until_it_is_accepted(listener: Listener, settings: Any) -> None:
    configure(settings, listener, groq=KEYS["groq"])
    answers(listener, "groq", Answer(401))
    results.check_all()
    assert alerts_of_keys() == [("critical", "groq refuses key no. 1 of GROQ_API_KEY.")]
    answers(listener, "groq", Answer(200))
    results.check_bad_again()
    assert alerts_of_keys() == []
    results.check_bad_again()
    assert len(listener.received) == 2


def test_a_key_that_calls_found_empty_is_an_alert(listener: Listener, settings: Any) -> None:
    configure(settings, listener, openrouter=f"{KEYS['openrouter']},{some('abc', 20)}")
    (connection,) = registry.connections()
    health.failed(connection.keys[0].credit, "out_of_credit", at_once=True)
    health.failed("openrouter#ffffffff", "key_refused", at_once=True)
    assert alerts_of_keys() == [("warning", "Key no. 1 of OPENROUTER_API_KEY has no credit left at openrouter.")]
