"""Calls of tools: however a provider sends them, OpenAI's clients can add them up."""

import json
from typing import Any

import pytest

from llmrouter.providers.tool_calls import ToolCalls, is_whole_object
from tests.standins.provider import ProviderStandIn

from .scripted import added_up, chunk, last_chunk, streams, tool, whole
from .talking import Talker, events_of

ORAN = '{"city":"Oran"}'
HEAD, TAIL = '{"city":', '"Oran"}'


def put_together(*parts: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and arguments of each call that clients see; ids and indices are checked on the way."""
    calls = ToolCalls()
    out = [part for given in parts for part in calls.add([given])] + calls.rest()
    found = added_up([{"choices": [{"delta": {"tool_calls": out}, "finish_reason": None}]}])["calls"]
    assert sorted(found) == list(range(len(found)))
    ids = [call["id"] for call in found.values()]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert sum(1 for part in out if "id" in part) == len(ids)
    return [(call["name"], call["arguments"]) for call in found.values()]


ONE_CALL: dict[str, list[dict[str, Any]]] = {
    "as OpenAI sends it": [
        tool(0, "", id="a", type="function", name="weather"),
        tool(0, HEAD),
        tool(0, TAIL),
    ],
    "the name with each part": [tool(0, part, name="weather") for part in ("", HEAD, TAIL)],
    "name and id with each part": [tool(0, part, id="a", name="weather") for part in ("", HEAD, TAIL)],
    "the id with each part": [tool(0, "", id="a", name="weather"), tool(0, HEAD, id="a"), tool(0, TAIL, id="a")],
    "a new id with each part": [tool(0, "", id="a", name="weather"), tool(0, HEAD, id="b"), tool(0, TAIL, id="c")],
    "a new id and the name with each part": [
        tool(0, part, id=str(place), name="weather") for place, part in enumerate(("", HEAD, TAIL))
    ],
    "empty id and name in later parts": [
        tool(0, "", id="a", name="weather"),
        tool(0, HEAD, id="", name=""),
        tool(0, TAIL, id=None, name=None),
    ],
    "no id": [tool(0, "", name="weather"), tool(0, ORAN)],
    "no index": [tool(None, "", id="a", name="weather"), tool(None, HEAD), tool(None, TAIL)],
    "another index with each part": [tool(0, "", id="a", name="weather"), tool(1, HEAD), tool(2, TAIL)],
    "another index with each part, and the id": [
        tool(0, "", id="a", name="weather"),
        tool(1, HEAD, id="a"),
        tool(2, TAIL, id="a"),
    ],
    "an index that begins at one": [tool(1, HEAD, id="a", name="weather"), tool(1, TAIL)],
    "an index in a text, and as a float": [tool("0", HEAD, id="a", name="weather"), tool(0.0, TAIL)],  # type: ignore[arg-type]
    "arguments as an object": [tool(0, {"city": "Oran"}, id="a", name="weather")],
    "null arguments first": [
        {"index": 0, "id": "a", "function": {"name": "weather", "arguments": None}},
        tool(0, ORAN),
    ],
    "{} before the arguments": [tool(0, "{}", id="a", name="weather"), tool(0, HEAD), tool(0, TAIL)],
    "an empty object before the arguments": [tool(0, {}, id="a", name="weather"), tool(0, ORAN)],
    "the whole call again at the end": [
        tool(0, HEAD, id="a", name="weather"),
        tool(0, TAIL),
        tool(0, ORAN, id="a", name="weather"),
    ],
    "its arguments again at the end, without a name": [
        tool(0, HEAD, id="a", name="weather"),
        tool(0, TAIL),
        tool(0, ORAN),
    ],
    "{} behind the arguments": [tool(0, HEAD, id="a", name="weather"), tool(0, TAIL), tool(0, "{}")],
    "an empty object behind the arguments": [tool(0, ORAN, id="a", name="weather"), tool(0, {})],
    "the name behind the id": [tool(0, "", id="a"), tool(0, HEAD, name="weather"), tool(0, TAIL)],
    "the name in parts": [tool(0, "", id="a", name="wea"), tool(0, "", name="ther"), tool(0, ORAN)],
    "a name that grows": [tool(0, "", id="a", name="wea"), tool(0, "", id="a", name="weather"), tool(0, ORAN)],
    "no object around name and arguments": [{"index": 0, "id": "a", "name": "weather", "arguments": {"city": "Oran"}}],
    "a number as the id": [tool(0, ORAN, id=7, name="weather")],
}


@pytest.mark.parametrize("parts", ONE_CALL.values(), ids=ONE_CALL)
def test_the_parts_of_one_call_are_one(parts: list[dict[str, Any]]) -> None:
    assert put_together(*parts) == [("weather", ORAN)]


TWO_CALLS: dict[str, list[dict[str, Any]]] = {
    "one behind the other": [tool(0, ORAN, id="a", name="weather"), tool(1, "{}", id="b", name="time")],
    "interleaved": [
        tool(0, "", id="a", name="weather"),
        tool(1, "", id="b", name="time"),
        tool(0, HEAD),
        tool(1, "{"),
        tool(0, TAIL),
        tool(1, "}"),
    ],
    "under one index, with ids": [tool(0, ORAN, id="a", name="weather"), tool(0, "{}", id="b", name="time")],
    "under one index, without ids": [tool(0, ORAN, name="weather"), tool(0, "{}", name="time")],
    "without index or id": [tool(None, ORAN, name="weather"), tool(None, "{}", name="time")],
    "with one id": [tool(0, ORAN, id="a", name="weather"), tool(1, "{}", id="a", name="time")],
    "without arguments": [tool(0, ORAN, id="a", name="weather"), tool(1, id="b", name="time")],
}


@pytest.mark.parametrize("parts", TWO_CALLS.values(), ids=TWO_CALLS)
def test_two_calls_stay_two(parts: list[dict[str, Any]]) -> None:
    assert put_together(*parts) == [("weather", ORAN), ("time", "{}")]


def test_two_calls_of_one_function_stay_two() -> None:
    alger = '{"city":"Alger"}'
    for numbered in (
        [tool(0, ORAN, name="weather"), tool(0, alger, name="weather")],
        [tool(None, ORAN, id="a", name="weather"), tool(None, alger, id="b", name="weather")],
    ):
        assert put_together(*numbered) == [("weather", ORAN), ("weather", alger)]
    dice = [tool(0, "{}", id="a", name="roll"), tool(0, "{}", id="b", name="roll")]
    assert put_together(*dice) == [("roll", "{}"), ("roll", "{}")]


def test_a_call_without_a_name_is_left_out() -> None:
    assert put_together(tool(0, ORAN, id="a")) == []


def test_a_signature_goes_with_its_call() -> None:
    """Gemini refuses the call when it comes back without it."""
    signed = {"google": {"thought_signature": "SIG"}}
    calls = ToolCalls()
    assert calls.add([tool(0, ORAN, id="a", name="weather", extra_content=signed)])[0]["extra_content"] == signed
    assert ToolCalls().whole([tool(None, ORAN, id="a", name="f", extra_content=signed)])[0]["extra_content"] == signed


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("{}", True),
        ('{"a": "}"}', True),
        ('{"a": "\\"}"', False),
        ('{"a": {"b": 1}', False),
        ("", False),
        ("[]", False),
    ],
)
def test_the_end_of_an_object_is_found(text: str, *, is_one: bool) -> None:
    assert is_whole_object(text) == is_one


@pytest.mark.django_db
def test_the_calls_of_a_whole_answer_are_openais(pro: Talker, standin: ProviderStandIn) -> None:
    given = [
        tool(None, {"city": "Oran"}, id="a", name="weather"),
        tool(None, "", name="time"),
        tool(None, "{}", id="a", name="time"),
        tool(None, "{}", id="x"),
        "junk",
    ]
    standin["openrouter"].faults = [whole({"role": "assistant", "content": None, "tool_calls": given}, "tool_calls")]
    calls = pro.complete().json()["choices"][0]["message"]["tool_calls"]
    assert [set(call) for call in calls] == [{"id", "type", "function"}] * 3
    assert len({call["id"] for call in calls}) == 3
    assert calls[0]["id"] == "a"
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Oran"}, {}, {}]


@pytest.mark.django_db
def test_the_function_call_of_2023_is_a_call_of_a_tool(pro: Talker, standin: ProviderStandIn) -> None:
    old = {"name": "weather", "arguments": ORAN}
    standin["openrouter"].faults = [
        whole({"role": "assistant", "content": None, "function_call": old}, "function_call")
    ]
    (choice,) = pro.complete().json()["choices"]
    assert choice["message"]["tool_calls"][0]["function"] == old
    assert choice["finish_reason"] == "tool_calls"
    parts = [{"function_call": {"name": "weather", "arguments": ""}}, {"function_call": {"arguments": ORAN}}]
    standin["openrouter"].faults = [streams(*map(chunk, parts), chunk({}, "function_call"), last_chunk())]
    found = added_up(events_of(pro.complete(stream=True)))
    assert (found["calls"][0]["name"], found["calls"][0]["arguments"], found["reasons"]) == (
        "weather",
        ORAN,
        ["tool_calls"],
    )


@pytest.mark.django_db
def test_calls_that_waited_come_before_the_end(pro: Talker, standin: ProviderStandIn) -> None:
    parts = [chunk({"tool_calls": [tool(0, name="now")]}), chunk({}, "tool_calls"), last_chunk()]
    standin["openrouter"].faults = [streams(*parts)]
    found = added_up(events_of(pro.complete(stream=True)))
    assert (found["calls"][0]["name"], found["calls"][0]["arguments"]) == ("now", "{}")
