"""What providers of the OpenAI dialect do differently: in what they take, in what they say, and in what they count."""

from decimal import Decimal
from typing import Any

import pytest

from billing.money import dollars
from llmrouter import metering
from llmrouter.catalogue import forget_catalogue
from llmrouter.errors import ProviderRefused
from llmrouter.models import Route
from llmrouter.providers import registry
from llmrouter.providers.faults import fault
from llmrouter.providers.registry import PROVIDERS
from llmrouter.providers.usage_reader import billed, tokens
from llmrouter.types import Tokens
from tests.standins.provider import ProviderStandIn, error, error_in_stream
from usage import budget

from .scripted import chunk, counted, streams
from .talking import Talker, events_of, hang_up_after, rows, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

CACHED = {"type": "text", "text": "Un long texte.", "cache_control": {"type": "ephemeral"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.dz/a.png"}}


def serve_by(provider: str, standin: ProviderStandIn, settings: Any, **columns: Any) -> None:
    """`gpt-4o` by another provider, at 1 and 2 dollars per million tokens."""
    settings.ENVIRONMENT |= {
        f"{provider.upper()}_API_KEY": "key-of-a-test",
        f"{provider.upper()}_BASE_URL": standin.url(provider),
    }
    registry.forget_connections()
    Route.objects.filter(model_id="gpt-4o").update(
        provider=provider, upstream="m", input_price=1, output_price=2, list_prices={}, **columns
    )
    forget_catalogue()


# What they take


@pytest.mark.parametrize("provider", ["groq", "deepseek", "mistral", "openai"])
def test_text_in_parts_is_sent_as_text(pro: Talker, standin: ProviderStandIn, settings: Any, provider: str) -> None:
    serve_by(provider, standin, settings)
    pro.complete(messages=[{"role": "user", "content": [CACHED, {"type": "text", "text": "Et alors ?"}]}])
    assert standin[provider].calls[0].body["messages"][0]["content"] == "Un long texte.\nEt alors ?"


def test_a_mark_for_the_cache_goes_only_to_who_knows_it(pro: Talker, standin: ProviderStandIn, settings: Any) -> None:
    asked = [{"role": "user", "content": [CACHED, IMAGE]}]
    pro.complete(messages=asked)
    assert standin["openrouter"].calls[0].body["messages"] == asked
    serve_by("gemini", standin, settings)
    pro.complete(messages=asked)
    assert standin["gemini"].calls[0].body["messages"][0]["content"] == [
        {"type": "text", "text": CACHED["text"]},
        IMAGE,
    ]


def test_a_cached_prompt_falls_back_to_groq(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [error(503)]
    response = pro.complete(messages=[{"role": "system", "content": [CACHED]}, {"role": "user", "content": "?"}])
    assert response["X-IAF-Provider"] == "groq"
    assert standin["groq"].calls[0].body["messages"][0] == {"role": "system", "content": CACHED["text"]}


@pytest.mark.parametrize("provider", sorted(set(PROVIDERS) - {"demo", "anthropic", "ollama"}))
def test_what_each_is_asked(pro: Talker, standin: ProviderStandIn, settings: Any, provider: str) -> None:
    """The output cap under its name, the question for the usage where there is one, and nothing that it refuses."""
    settings.GROQ_BILLING = "paid"
    serve_by(provider, standin, settings)
    known = PROVIDERS[provider]
    asked = {"seed": 1, "user": "u", "logprobs": True, "logit_bias": {"1": 1}, "temperature": 0.5}
    events_of(pro.complete(max_tokens=9, stream=True, **asked))
    (call,) = standin[provider].calls
    assert call.key == "key-of-a-test"
    assert call.body[known.cap_field] == 9
    assert set(asked) - set(call.body) == set(asked) & known.drops
    assert ("stream_options" in call.body) == (known.usage == "asked")


# What they say


@pytest.mark.parametrize("code", ["tool_use_failed", "json_validate_failed"])
def test_a_call_that_the_model_botched_is_not_the_callers_fault(
    pro: Talker, standin: ProviderStandIn, code: str
) -> None:
    """And not the route's either: it is not left alone for it."""
    standin["groq"].faults = [error(400, {"error": {"code": code, "failed_generation": "<f"}})]
    for _ in range(4):
        assert pro.complete(model="gpt-oss-120b").status_code == 200
    assert len(standin["groq"].calls) == 4


def test_a_prompt_that_is_too_long_for_together_does_not_close_its_key() -> None:
    found = fault(PROVIDERS["together"], 403, {}, b'{"error": {"message": "no"}}', model="m")
    assert not isinstance(found, ProviderRefused)


def test_an_answer_in_parts(pro: Talker, standin: ProviderStandIn) -> None:
    """As Mistral's thinking models give it."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    content = [thinking, {"type": "text", "text": "42"}]
    body = {"choices": [{"message": {"role": None, "content": content, "tool_calls": []}}], **counted(9, 3)}
    standin["openrouter"].faults = [error(200, body)]
    message = pro.complete().json()["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "42", "refusal": None, "reasoning_content": "Hm."}
    assert pro.say()["response"] == "42"
    standin["openrouter"].faults = [streams(chunk({"role": None, "content": content}), chunk({}, "stop"))]
    assert text_of(events_of(pro.complete(stream=True))) == "42"
    assert text_of(events_of(pro.post(stream=True))) == "42"


def test_calls_of_tools_are_told_apart(pro: Talker, standin: ProviderStandIn) -> None:
    """Gemini gives each whole, without a place or all at the first; others number them, and send the rest in parts."""

    def call(**fields: Any) -> dict[str, Any]:
        return chunk({"tool_calls": [fields]})

    f, g = {"name": "f", "arguments": "{}"}, {"name": "g", "arguments": "{}"}
    for calls in (
        [call(id="a", function=f), call(id="b", function=g)],
        [call(index=0, id="a", function=f), call(index=0, id="b", function=g)],
        [call(id="", function=f), call(id="", function=g)],
        [
            call(index=0, id="a", function=f),
            call(index=1, id="b", function=g),
            call(index=0, function={"arguments": ""}),
        ],
    ):
        standin["openrouter"].faults = [streams(*calls, chunk({}, "tool_calls"))]
        events = events_of(pro.complete(stream=True))[:-1]
        deltas = [event["choices"][0]["delta"] for event in events]
        places = [part["index"] for delta in deltas for part in delta.get("tool_calls", ())]
        assert places == [0, 1, 0][: len(calls)]


def test_the_role_is_told_once_and_is_right(pro: Talker, standin: ProviderStandIn) -> None:
    chunks = [chunk({"role": None, "content": "a"}), chunk({"role": "assistant", "content": "b"}), chunk({}, "stop")]
    standin["openrouter"].faults = [streams(*chunks)]
    deltas = [event["choices"][0]["delta"] for event in events_of(pro.complete(stream=True))[:-1]]
    assert deltas == [{"role": "assistant", "content": "a"}, {"content": "b"}, {}]


def test_an_end_without_a_reason_gets_one(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [streams(chunk({"content": "a"}), {"choices": [], **counted(1, 1)})]
    events = events_of(pro.complete(stream=True))
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert rows()[0].finish_reason == "stop"


def test_an_empty_stream_is_a_failure(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [streams()]
    response = pro.complete(stream=True)
    # Read to its end: else the collector ends it, within whatever test runs then.
    assert (response["X-IAF-Provider"], events_of(response)[-1]) == ("groq", "[DONE]")


def test_a_failure_before_the_first_word_is_invisible(pro: Talker, standin: ProviderStandIn) -> None:
    """A delta that only says who speaks is no answer yet."""
    dead = {"error": {"code": 502, "message": "upstream died"}}
    standin["openrouter"].faults = [streams(chunk({"role": "assistant", "content": ""}), dead)]
    response = pro.complete(stream=True)
    assert (response["X-IAF-Provider"], response["X-IAF-Fallback"]) == ("groq", "true")
    assert events_of(response)[-1] == "[DONE]"


LAST_WORDS: dict[str, Any] = {
    "an event of errors": streams(chunk({"content": "a"}), b'event: error\ndata: {"message": "no"}\n\n', last=""),
    "Groq's word": streams(chunk({"content": "a"}), {"choices": [], "x_groq": {"error": "over capacity"}}),
    "cut, with its usage so far": streams(chunk({"content": "a"}, **counted(5, 1)), last=""),
}


@pytest.mark.parametrize("fault", LAST_WORDS.values(), ids=LAST_WORDS)
@pytest.mark.parametrize("door", ["post", "complete"])
def test_a_stream_that_broke_says_so(pro: Talker, standin: ProviderStandIn, fault: Any, door: str) -> None:
    standin["openrouter"].faults = [fault]
    events = events_of(getattr(pro, door)(stream=True))
    assert events[-1]["error"]["code"] == "provider_failed"
    assert rows()[0].estimated


@pytest.mark.parametrize("door", ["post", "complete"])
def test_both_doors_end_a_broken_stream_with_an_error(pro: Talker, standin: ProviderStandIn, door: str) -> None:
    standin["openrouter"].faults = [error_in_stream(2)]
    events = events_of(getattr(pro, door)(stream=True))
    assert text_of(events[:-1]) == "Bonjour, je "
    assert "error" in events[-1]


# What they count


def test_a_usage_with_every_piece_is_that_of_the_last(pro: Talker, standin: ProviderStandIn, settings: Any) -> None:
    """As Perplexity tells it; it bills on after a hang-up, so the stream is read to its end."""
    serve_by("perplexity", standin, settings)
    pieces = [chunk({"content": "mot "}, **counted(10, number)) for number in range(1, 9)]
    standin["perplexity"].faults = [streams(*pieces, chunk({}, "stop", **counted(10, 9)))]
    response = pro.complete(stream=True)
    hang_up_after(1, response)
    (row,) = rows()
    assert (row.finish_reason, row.estimated, row.tokens_output) == ("client_gone", False, 9)
    assert budget.counters().held == 0


@pytest.mark.parametrize(("behind", "read_on"), [("Anthropic", False), ("Amazon Bedrock", True), ("Google", True)])
def test_hanging_up_on_openrouter_is_a_matter_of_who_is_behind_it(
    pro: Talker, standin: ProviderStandIn, behind: str, read_on: bool
) -> None:
    """Some bill an aborted call to its end: there the end is waited for, and its bill is the true one."""
    pieces = [chunk({"content": "mot "}, provider=behind) for _ in range(9)]
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "cost": 0.25}
    standin["openrouter"].faults = [streams(*pieces, chunk({}, "stop"), {"choices": [], "usage": usage}, pace=0.02)]
    response = pro.complete(stream=True)
    hang_up_after(1, response)
    (row,) = rows()
    assert (row.estimated, row.cost_usd == Decimal("0.25")) == (not read_on, read_on)


def test_who_bills_on_for_longer_than_we_read_is_charged_what_was_held(
    pro: Talker, standin: ProviderStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "READ_ON_SECONDS", 0.05)
    pieces = [chunk({"content": "mot "}, provider="Google") for _ in range(200)]
    standin["openrouter"].faults = [streams(*pieces, pace=0.01)]
    response = pro.complete(stream=True)
    held = budget.counters().held
    hang_up_after(1, response)
    (row,) = rows()
    assert (row.cost_usd, row.estimated) == (dollars(held), True)
    assert budget.counters().held == 0


def test_openais_reasoning_models_are_not_sent_what_they_refuse(
    pro: Talker, standin: ProviderStandIn, settings: Any
) -> None:
    serve_by("openai", standin, settings)
    pro.say()
    assert standin["openai"].calls[0].body["temperature"] == 0.7
    Route.objects.filter(model_id="gpt-4o").update(upstream="gpt-5.6-terra")
    forget_catalogue()
    pro.complete(temperature=0.2, stop="x", seed=3)
    assert not {"temperature", "stop"} & set(standin["openai"].calls[1].body)
    assert standin["openai"].calls[1].body["seed"] == 3


# prompt, cached, audio, completion, reasoning, audio -> what is priced
COUNTS: dict[str, tuple[dict[str, Any], Tokens]] = {
    "all kinds, each a part of its whole": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 5},
        },
        Tokens(input=100, output=50, cached=40, reasoning=30),
    ),
    "xAI: reasoning beside the completion": (
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
        Tokens(input=32, output=103, reasoning=94),
    ),
    "Gemini: thoughts in the total only": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 65},
        Tokens(input=10, output=55),
    ),
    "DeepSeek's cache": (
        {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 2},
        Tokens(input=10, output=5, cached=8),
    ),
    "Moonshot's cache": (
        {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 8},
        Tokens(input=10, output=5, cached=8),
    ),
    "a total that is none": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": -1},
        Tokens(input=10, output=5),
    ),
}


@pytest.mark.parametrize(("usage", "found"), COUNTS.values(), ids=COUNTS)
def test_every_token_is_counted_once(usage: dict[str, Any], found: Tokens) -> None:
    assert tokens(usage) == found


def test_cached_reasoning_and_audio_tokens_are_billed_once(
    pro: Talker, standin: ProviderStandIn, settings: Any
) -> None:
    serve_by("openai", standin, settings, cache_read_price=Decimal("0.5"))
    usage, _tokens = COUNTS["all kinds, each a part of its whole"]
    body = {"choices": [{"message": {"role": "assistant", "content": "x"}}], "usage": usage}
    standin["openai"].faults = [error(200, body)]
    assert pro.complete()["X-IAF-Cost"] == "0.000180000"
    # 60 at 1, 40 at 0.50 and 50 at 2 dollars per million.
    assert rows()[0].cost_usd == Decimal("0.00018")


def test_a_bill_under_a_key_of_ones_own_behind_openrouter() -> None:
    """`cost` is then OpenRouter's fee alone; the rest is billed by the provider behind it."""
    usage = {"cost": 0.0005, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.01}}
    assert billed(usage) == 10_500_000
    assert billed({"cost": 0.0005, "is_byok": True}) is None
    assert billed({"cost": 0.0005, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.01}}) == 500_000
