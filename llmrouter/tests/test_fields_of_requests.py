"""Each field of a request is passed on, mapped, refused by its name, or named as one that was not used."""

from typing import Any

import pytest

from tests.standins.provider import ProviderStandIn

from .scripted import chunk, last_chunk, streams, tool, whole
from .talking import Talker, events_of
from .test_dialects_of_providers import serve_by

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

USER = {"role": "user", "content": "Bonjour"}


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "parameters": {"type": "object"}, **more}


FUNCTIONS = [function("weather"), function("time")]
TOOLS = [{"type": "function", "function": entry} for entry in FUNCTIONS]


def sent(pro: Talker, standin: ProviderStandIn, **fields: Any) -> dict[str, Any]:
    response = pro.complete(**fields)
    assert response.status_code == 200, response.content
    body: dict[str, Any] = standin["openrouter"].calls[-1].body
    return body


def refused(response: Any, field: str) -> None:
    assert response.status_code == 400, response.content
    assert response.json()["error"]["param"] == field
    assert field in response.json()["error"]["message"]


# Functions, as in 2023


@pytest.mark.parametrize(
    ("choice", "mapped"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ({"name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_functions_go_upstream_as_tools(pro: Talker, standin: ProviderStandIn, choice: Any, mapped: Any) -> None:
    body = sent(pro, standin, functions=FUNCTIONS, function_call=choice)
    assert body["tools"] == TOOLS
    assert body.get("tool_choice") == mapped
    assert body["parallel_tool_calls"] is False
    assert not {"functions", "function_call"} & body.keys()


def test_a_call_of_a_function_comes_back_as_it_was_asked_for(pro: Talker, standin: ProviderStandIn) -> None:
    called = tool(None, '{"city":"Oran"}', id="c1", type="function", name="weather")
    standin["openrouter"].faults = [whole({"role": "assistant", "content": None, "tool_calls": [called]}, "tool_calls")]
    (choice,) = pro.complete(functions=FUNCTIONS).json()["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "weather", "arguments": '{"city":"Oran"}'}
    assert "tool_calls" not in choice["message"]
    (choice,) = pro.complete(tools=TOOLS).json()["choices"]
    assert (choice["finish_reason"], "function_call" in choice["message"]) == ("tool_calls", False)


def test_a_call_of_a_function_streams_as_it_was_asked_for(pro: Talker, standin: ProviderStandIn) -> None:
    parts = [tool(0, "", id="c1", type="function", name="weather"), tool(0, '{"city":'), tool(0, '"Oran"}')]
    another = tool(1, "{}", id="c2", type="function", name="time")
    pieces = [chunk({"tool_calls": [part]}) for part in [*parts, another]]
    standin["openrouter"].faults = [streams(*pieces, chunk({}, "tool_calls"), last_chunk())]
    choices = [event["choices"][0] for event in events_of(pro.complete(functions=FUNCTIONS, stream=True))[:-1]]
    calls = [choice["delta"]["function_call"] for choice in choices if "function_call" in choice["delta"]]
    assert "".join(call.get("name") or "" for call in calls) == "weather"
    assert "".join(call.get("arguments") or "" for call in calls) == '{"city":"Oran"}'
    assert choices[-1]["finish_reason"] == "function_call"
    assert all("tool_calls" not in choice["delta"] for choice in choices)


def test_a_conversation_of_2023_goes_on(pro: Talker, standin: ProviderStandIn) -> None:
    history = [
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"city":"Oran"}'}},
        {"role": "function", "name": "weather", "content": "22"},
    ]
    _user, called, result = sent(pro, standin, messages=history, functions=FUNCTIONS)["messages"]
    (call,) = called["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"city":"Oran"}'}
    assert result == {"role": "tool", "content": "22", "tool_call_id": call["id"]}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"functions": FUNCTIONS, "tools": TOOLS}, "functions"),
        ({"functions": "weather"}, "functions"),
        ({"functions": [{}]}, "functions[0].name"),
        ({"functions": FUNCTIONS, "function_call": "weather"}, "function_call"),
        ({"functions": FUNCTIONS, "function_call": {"name": "other"}}, "tool_choice"),
    ],
)
def test_functions_that_are_none_are_refused(pro: Talker, fields: dict[str, Any], field: str) -> None:
    refused(pro.complete(**fields), field)


# Tools


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


CHOICES: dict[str, tuple[Any, list[str], Any]] = {
    "one of two": (allowed("auto", "weather"), ["weather"], "auto"),
    "both, and one has to be": (allowed("required", "weather", "time"), ["weather", "time"], "required"),
    "without the frame": (
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}]},
        ["time"],
        "required",
    ),
    "a name without its frame": (
        {"type": "function", "name": "time"},
        ["weather", "time"],
        {"type": "function", "function": {"name": "time"}},
    ),
}


@pytest.mark.parametrize(("choice", "names", "mapped"), CHOICES.values(), ids=CHOICES)
def test_a_choice_of_tools_is_kept_to(
    pro: Talker, standin: ProviderStandIn, choice: Any, names: list[str], mapped: Any
) -> None:
    body = sent(pro, standin, tools=TOOLS, tool_choice=choice)
    assert [entry["function"]["name"] for entry in body["tools"]] == names
    assert body["tool_choice"] == mapped


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        (allowed("auto", "other"), "tool_choice"),
        (allowed("sometimes", "weather"), "tool_choice.allowed_tools.mode"),
        (allowed("auto"), "tool_choice.allowed_tools.tools"),
        ({"type": "function", "function": {"name": "other"}}, "tool_choice"),
        ({"type": "custom", "custom": {"name": "weather"}}, "tool_choice"),
        ("any of them", "tool_choice"),
    ],
)
def test_a_choice_of_what_is_not_there_is_refused(pro: Talker, choice: Any, field: str) -> None:
    refused(pro.complete(tools=TOOLS, tool_choice=choice), field)


def test_nulls_inside_tools_are_fields_not_used(pro: Talker, standin: ProviderStandIn) -> None:
    schema = {
        "type": "object",
        "title": None,
        "required": None,
        "properties": {
            "city": {"type": "string", "description": None, "default": None, "enum": ["Oran", None]},
            "day": None,
            "spots": {"type": "array", "items": {"anyOf": [{"const": None}, {"type": "string", "format": None}]}},
        },
    }
    given = {"name": "weather", "description": None, "strict": None, "parameters": schema}
    (found,) = sent(pro, standin, tools=[{"type": "function", "function": given, "cache_control": None}])["tools"]
    assert found["function"] == {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "default": None, "enum": ["Oran", None]},
                "spots": {"type": "array", "items": {"anyOf": [{"const": None}, {"type": "string"}]}},
            },
        },
    }
    nothing = {"type": "function", "function": {"name": "time", "parameters": None}}
    assert sent(pro, standin, tools=[nothing])["tools"] == [{"type": "function", "function": {"name": "time"}}]


def test_nulls_inside_a_schema_of_an_answer_are_fields_not_used(pro: Talker, standin: ProviderStandIn) -> None:
    given = {"name": "w", "strict": None, "description": None, "schema": {"type": "object", "required": None}}
    asked = {"type": "json_schema", "json_schema": given}
    found = sent(pro, standin, response_format=asked)["response_format"]["json_schema"]
    assert found == {"name": "w", "schema": {"type": "object"}}


@pytest.mark.parametrize("entry", [None, {"type": "web_search"}, {"type": "custom", "custom": {"name": "x"}}])
def test_a_tool_that_we_do_not_sell_is_refused_by_its_place(pro: Talker, entry: Any) -> None:
    refused(pro.complete(tools=[TOOLS[0], entry]), "tools[1].type")


def test_a_tool_without_its_frame_is_read(pro: Talker, standin: ProviderStandIn) -> None:
    assert sent(pro, standin, tools=[{"type": "function", **FUNCTIONS[0]}])["tools"] == [TOOLS[0]]


def test_a_tool_in_anthropics_form_keeps_its_schema(pro: Talker, standin: ProviderStandIn) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    expected = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": schema}}]
    assert (
        sent(pro, standin, tools=[{"name": "weather", "description": "d", "input_schema": schema}])["tools"] == expected
    )


CHOICES_ELSEWHERE: dict[str, tuple[Any, Any]] = {
    "Mistral's any": ("any", "required"),
    "Anthropic's any": ({"type": "any"}, "required"),
    "Cursor's auto": ({"type": "auto"}, "auto"),
    "an object of none": ({"type": "none"}, "none"),
    "Anthropic's tool": ({"type": "tool", "name": "time"}, {"type": "function", "function": {"name": "time"}}),
}


@pytest.mark.parametrize(("choice", "mapped"), CHOICES_ELSEWHERE.values(), ids=CHOICES_ELSEWHERE)
def test_a_choice_in_other_words_is_mapped(pro: Talker, standin: ProviderStandIn, choice: Any, mapped: Any) -> None:
    assert sent(pro, standin, tools=TOOLS, tool_choice=choice)["tool_choice"] == mapped


def test_a_schema_beside_json_object_is_kept(pro: Talker, standin: ProviderStandIn) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": None}}}
    kept = {"type": "object", "properties": {"city": {"type": "string"}}}
    body = sent(pro, standin, response_format={"type": "json_object", "schema": schema})
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "response", "schema": kept}}
    assert sent(pro, standin, response_format={"type": "json_object"})["response_format"] == {"type": "json_object"}


def test_the_cap_of_responses_is_a_cap(pro: Talker, standin: ProviderStandIn) -> None:
    assert sent(pro, standin, max_output_tokens=300)["max_tokens"] == 300
    assert sent(pro, standin, max_output_tokens=300, max_tokens=400)["max_tokens"] == 400
    refused(pro.complete(max_output_tokens="many"), "max_output_tokens")


def test_thoughts_are_left_out_by_the_older_name_too(pro: Talker, standin: ProviderStandIn) -> None:
    standin["openrouter"].faults = [whole({"role": "assistant", "content": "a", "reasoning": "hm"})]
    assert "reasoning" not in pro.complete(include_reasoning=False).json()["choices"][0]["message"]
    assert "reasoning" in pro.complete(include_reasoning=True).json()["choices"][0]["message"]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "seed", "top_k"])
def test_a_whole_number_may_be_written_with_a_point(pro: Talker, standin: ProviderStandIn, field: str) -> None:
    assert repr(sent(pro, standin, **{field: 300.0}).get(field.replace("max_completion", "max"))) == "300"
    for no_number in (300.5, True, "300"):
        refused(pro.complete(**{field: no_number}), field)


@pytest.mark.parametrize("field", ["seed", "top_k"])
def test_a_number_that_no_encoder_writes_is_refused(pro: Talker, field: str) -> None:
    refused(pro.complete(**{field: 1e300}), field)
    assert pro.complete(max_tokens=1e300).status_code == 200


def test_a_schema_that_is_none_is_refused(pro: Talker) -> None:
    refused(pro.complete(response_format={"type": "json_object", "schema": [1]}), "response_format.schema")
    refused(pro.complete(tools=[{"name": "weather", "input_schema": [1]}]), "tools[0].parameters")


# Thinking

EFFORTS: dict[str, tuple[dict[str, Any], str | None]] = {
    "OpenRouter's": ({"reasoning": {"effort": "high"}}, "high"),
    "OpenRouter's, in tokens": ({"reasoning": {"max_tokens": 2000}}, "medium"),
    "OpenRouter's, on": ({"reasoning": {"enabled": True}}, "medium"),
    "OpenRouter's, off": ({"reasoning": {"enabled": False}}, "none"),
    "OpenRouter's, hidden": ({"reasoning": {"exclude": True}}, None),
    "nothing of it": ({"reasoning": {}}, None),
    "Anthropic's": ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
    "Anthropic's, large": ({"thinking": {"type": "enabled", "budget_tokens": 32000}}, "high"),
    "DeepSeek's": ({"thinking": {"type": "enabled"}}, "medium"),
    "DeepSeek's, off": ({"thinking": {"type": "disabled"}}, "none"),
    "Qwen's": ({"enable_thinking": True}, "medium"),
    "Qwen's, off": ({"enable_thinking": False}, "none"),
    "Qwen's, in tokens": ({"enable_thinking": True, "thinking_budget": 500}, "low"),
    "vLLM's": ({"chat_template_kwargs": {"enable_thinking": False}}, "none"),
    "SGLang's": ({"chat_template_kwargs": {"thinking": True}}, "medium"),
    "DeepSeek's, and how much": ({"thinking": {"type": "enabled"}, "reasoning_effort": "high"}, "high"),
    "OpenRouter's, and how much": ({"reasoning": {"enabled": True}, "reasoning_effort": "low"}, "low"),
    "twice the same": ({"reasoning": {"effort": "low"}, "reasoning_effort": "low"}, "low"),
}


@pytest.mark.parametrize(("fields", "effort"), EFFORTS.values(), ids=EFFORTS)
def test_thinking_is_asked_for_by_any_of_its_names(
    pro: Talker, standin: ProviderStandIn, fields: dict[str, Any], effort: str | None
) -> None:
    body = sent(pro, standin, **fields)
    assert body.get("reasoning_effort") == effort
    assert not {"reasoning", "thinking", "enable_thinking", "thinking_budget", "chat_template_kwargs"} & body.keys()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"reasoning": {"max_tokens": "many"}}, "reasoning.max_tokens"),
        ({"thinking": {"type": "much"}}, "thinking.type"),
        ({"enable_thinking": "yes"}, "enable_thinking"),
        ({"thinking_budget": "much"}, "thinking_budget"),
        ({"chat_template_kwargs": {"add_generation_prompt": False}}, "chat_template_kwargs.add_generation_prompt"),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "none"}, "thinking"),
        ({"enable_thinking": True, "reasoning": {"enabled": False}}, "enable_thinking"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, "reasoning"),
    ],
)
def test_thinking_that_is_not_clear_is_refused(pro: Talker, fields: dict[str, Any], field: str) -> None:
    refused(pro.complete(**fields), field)


# The rest

NOT_SOLD: dict[str, Any] = {
    "service_tier": "priority",
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {},
    "search_parameters": {"mode": "on"},
    "enable_search": True,
    "best_of": 3,
    "prompt_cache_retention": "24h",
    "deferred": True,
    "background": True,
    "n": 2,
}


@pytest.mark.parametrize(("field", "value"), NOT_SOLD.items(), ids=NOT_SOLD)
def test_what_we_do_not_sell_is_refused_by_its_name(pro: Talker, field: str, value: Any) -> None:
    refused(pro.complete(**{field: value}), field)


@pytest.mark.parametrize("field", ["tools", "functions"])
def test_tools_have_their_door(pro: Talker, field: str) -> None:
    response = pro.post(**{field: TOOLS})
    assert (response.status_code, response.json()["error"]["details"]) == (400, {"field": field})


def test_what_asks_for_nothing_else_is_taken(pro: Talker, standin: ProviderStandIn) -> None:
    fields = {
        "service_tier": "auto",
        "modalities": ["text"],
        "n": 1,
        "audio": None,
        "prediction": None,
        "web_search_options": None,
        "store": False,
        "metadata": {},
        "functions": None,
        "function_call": None,
        "transforms": [],
    }
    response = pro.complete(**fields)
    assert (response.status_code, "X-IAF-Ignored" in response) == (200, False)
    assert not fields.keys() & standin["openrouter"].calls[0].body.keys()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("door", ["complete", "post"])
def test_what_is_left_aside_is_named(pro: Talker, standin: ProviderStandIn, door: str, stream: bool) -> None:
    fields = {"store": True, "metadata": {"a": "b"}, "models": ["x"], "provider": {"order": ["x"]}, "été\n": 1}
    response = getattr(pro, door)(stream=stream, **fields)
    assert response.status_code == 200
    assert response["X-IAF-Ignored"] == "store, metadata, models, provider"
    if stream:
        assert events_of(response)[-1] == "[DONE]"
    assert standin["openrouter"].calls[0].body.get("provider", {}).keys() <= {"max_price"}


def test_what_only_the_provider_leaves_aside_is_named_too(pro: Talker, standin: ProviderStandIn) -> None:
    response = pro.complete(model="gpt-oss-120b", logprobs=True, verbosity="low", seed=1)
    assert response["X-IAF-Ignored"] == "logprobs, verbosity"
    assert not {"logprobs", "verbosity"} & standin["groq"].calls[0].body.keys()
    response = pro.complete(verbosity="low", top_k=20, min_p=0.1)
    assert "X-IAF-Ignored" not in response
    body = standin["openrouter"].calls[0].body
    assert (body["verbosity"], body["top_k"], body["min_p"]) == ("low", 20, 0.1)


def test_openai_is_sent_what_it_alone_knows(pro: Talker, standin: ProviderStandIn, settings: Any) -> None:
    serve_by("openai", standin, settings)
    fields = {"verbosity": "high", "prompt_cache_key": "k", "safety_identifier": "s" * 80}
    response = pro.complete(**fields, top_k=3)
    body = standin["openai"].calls[0].body
    assert (body["verbosity"], body["prompt_cache_key"], body["safety_identifier"]) == ("high", "k", "s" * 64)
    assert response["X-IAF-Ignored"] == "top_k"


@pytest.mark.parametrize(
    ("field", "value"),
    [("verbosity", "loud"), ("top_k", "many"), ("min_p", 2), ("prompt_cache_key", 7), ("repetition_penalty", -1)],
)
def test_a_value_that_is_none_is_refused(pro: Talker, field: str, value: Any) -> None:
    refused(pro.complete(**{field: value}), field)
