"""A conversation goes on with the answers that we gave ourselves, whatever was in them."""

import json
from typing import Any

import pytest

from tests.standins.provider import ProviderStandIn

from .scripted import chunk, last_chunk, streams, whole
from .talking import Talker, events_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

USER = {"role": "user", "content": "Bonjour"}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def call(arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "weather", "arguments": arguments}, **more}


def calls(*found: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(found)} | more


def sent(pro: Talker, standin: ProviderStandIn, *history: Any, **more: Any) -> list[dict[str, Any]]:
    """The history as the provider gets it."""
    response = pro.complete(messages=[USER, *history], **more)
    assert response.status_code == 200, response.content
    messages: list[dict[str, Any]] = standin["openrouter"].calls[-1].body["messages"]
    return messages[1:]


WITHOUT_WORDS: dict[str, tuple[dict[str, Any], Any]] = {
    "a refusal": ({"content": None, "refusal": "Non."}, "Non."),
    "a refusal and no content": ({"refusal": "Non."}, "Non."),
    "a refusal beside words": ({"content": "Oui.", "refusal": None}, "Oui."),
    "thoughts alone": ({"content": None, "refusal": None, "reasoning": "hm"}, ""),
    "DeepSeek's thoughts alone": ({"content": None, "reasoning_content": "hm"}, ""),
    "nothing": ({"content": None}, ""),
    "no call of a tool": ({"content": None, "tool_calls": []}, ""),
    "null for a call": ({"content": "a", "tool_calls": None, "function_call": None}, "a"),
    "empty text": ({"content": ""}, ""),
    "an empty list": ({"content": []}, ""),
    "a refusal beside an empty text": ({"content": "", "refusal": "Non."}, "Non."),
    "a refusal beside an empty list": ({"content": [], "refusal": "Non."}, "Non."),
    "a part that refuses": ({"content": [{"type": "refusal", "refusal": "Non."}]}, [{"type": "text", "text": "Non."}]),
}


@pytest.mark.parametrize(("answer", "content"), WITHOUT_WORDS.values(), ids=WITHOUT_WORDS)
def test_an_answer_without_words_is_taken_back(
    pro: Talker, standin: ProviderStandIn, answer: dict[str, Any], content: Any
) -> None:
    found, _user = sent(pro, standin, {"role": "assistant", **answer}, USER)
    assert found["content"] == content
    assert not {"tool_calls", "function_call", "refusal"} & found.keys()


ANSWERS: dict[str, dict[str, Any]] = {
    "words": {"content": "Bonjour."},
    "a refusal": {"content": None, "refusal": "Non."},
    "thoughts": {"content": None, "reasoning": "hm", "reasoning_content": "hm"},
    "a call": calls(call('{"city":"Oran"}', id="c1")),
    "a call with its object": calls(call({"city": "Oran"}, id="c1")),
    "a call without an id": calls(call()),
    "a signed call": calls(call(id="c1"), reasoning_details=[{"type": "reasoning.encrypted", "data": "E"}]),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_what_we_answer_can_be_sent_back_word_for_word(
    pro: Talker, standin: ProviderStandIn, answer: dict[str, Any]
) -> None:
    standin["openrouter"].faults = [whole({"role": "assistant", **answer})]
    ours = pro.complete(tools=[WEATHER]).json()["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": made["id"], "content": "22"} for made in ours.get("tool_calls", ())]
    standin["openrouter"].faults = []
    assert sent(pro, standin, ours, *results, USER, tools=[WEATHER])[0]["role"] == "assistant"


@pytest.mark.parametrize("content", [None, "", "Bonjour."])
def test_the_other_door_takes_its_answers_back_too(pro: Talker, content: str | None) -> None:
    history = [USER, {"role": "assistant", "content": content}, USER]
    assert pro.post(messages=history).status_code == 200
    assert pro.post(messages=[USER, {"role": "assistant", "content": None, "refusal": "Non."}]).status_code == 200
    assert pro.post(messages=[{"role": "user", "content": None}]).status_code == 400


def test_a_refusal_is_the_answer_at_the_other_door(pro: Talker, standin: ProviderStandIn) -> None:
    """It has no field of its own there."""
    for content in (None, ""):
        standin["openrouter"].faults = [whole({"role": "assistant", "content": content, "refusal": "Non."})]
        assert pro.say()["response"] == "Non."
        parts = [chunk({"content": content, "refusal": part}) for part in ("No", "n.")]
        standin["openrouter"].faults = [streams(*parts, chunk({}, "stop"), last_chunk())]
        assert events_of(pro.post(stream=True))[-2]["response"] == "Non."
        standin["openrouter"].faults = []
        pro.say(messages=[USER, {"role": "assistant", "content": content, "refusal": "Non."}, USER])
        assert standin["openrouter"].calls[-1].body["messages"][1]["content"] == "Non."


def test_an_empty_list_beside_a_call_and_of_a_tool_is_taken_back(pro: Talker, standin: ProviderStandIn) -> None:
    """LangChain writes it where there is no text."""
    message, answer = sent(pro, standin, calls(call(id="a"), content=[]), result("a", []), tools=[WEATHER])
    assert (message["content"], answer["content"]) == (None, "")
    assert pro.complete(messages=[{"role": "user", "content": []}]).status_code == 400


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"city": "Oran"}, '{"city":"Oran"}'),
        ([1, 2], "[1,2]"),
        ({}, "{}"),
        ("", "{}"),
        ("  ", "{}"),
        (None, "{}"),
        ('{"half', '{"half'),
        ({"é": None}, '{"é":null}'),
    ],
)
def test_arguments_keep_what_they_say(pro: Talker, standin: ProviderStandIn, arguments: Any, found: str) -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": "22"}
    message, _result = sent(pro, standin, calls(call(arguments, id="c1")), result, tools=[WEATHER])
    assert message["tool_calls"][0]["function"]["arguments"] == found


def result(identity: Any = None, content: Any = "22") -> dict[str, Any]:
    return {"role": "tool", "content": content, **({"tool_call_id": identity} if identity is not None else {})}


IDS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "null, and the answer has one": ([calls(call(id=None)), result("c1")], ["c1"]),
    "none, and the answer has one": ([calls(call()), result("c1")], ["c1"]),
    "empty": ([calls(call(id="")), result("c1")], ["c1"]),
    "a number": ([calls(call(id=7)), result(7)], ["7"]),
    "the answer has none": ([calls(call(id="c1")), result()], ["c1"]),
    "one of two has none": ([calls(call(id="a"), call()), result("b"), result("a")], ["a", "b"]),
    "answers in another order": ([calls(call(id="a"), call(id="b")), result("b"), result("a")], ["a", "b"]),
}


@pytest.mark.parametrize(("history", "ids"), IDS.values(), ids=IDS)
def test_calls_and_their_answers_find_each_other(
    pro: Talker, standin: ProviderStandIn, history: list[dict[str, Any]], ids: list[str]
) -> None:
    message, *results = sent(pro, standin, *history, tools=[WEATHER])
    assert [made["id"] for made in message["tool_calls"]] == ids
    assert sorted(made["tool_call_id"] for made in results) == sorted(ids)


def test_without_any_id_the_order_tells(pro: Talker, standin: ProviderStandIn) -> None:
    history = [calls(call(), call()), result(content="1"), result(content="2"), calls(call()), result(content="3")]
    found = sent(pro, standin, *history, tools=[WEATHER])
    made = [call["id"] for message in found for call in message.get("tool_calls", ())]
    assert [message["tool_call_id"] for message in found if message["role"] == "tool"] == made
    assert len(set(made)) == 3
    assert "None" not in json.dumps(found)
    # The same ids the next time: a provider's cache finds the conversation.
    assert sent(pro, standin, *history, tools=[WEATHER]) == found


def test_a_call_that_nobody_answered_has_an_id_too(pro: Talker, standin: ProviderStandIn) -> None:
    (message,) = sent(pro, standin, calls(call(id=None)), tools=[WEATHER])
    assert message["tool_calls"][0]["id"].startswith("call_")


@pytest.mark.parametrize(
    "history",
    [
        [result()],
        [{"role": "function", "name": "weather", "content": "22"}],
        [calls(call(id="c1")), result("c1"), result()],
        [{"role": "assistant", "tool_calls": "x"}],
        [{"role": "assistant", "tool_calls": [{}]}],
        [{"role": "assistant", "tool_calls": [None]}],
        [{"role": "user", "content": None}],
        [{"role": "assistant", "content": 7}],
    ],
)
def test_what_no_one_can_understand_stays_refused(pro: Talker, history: list[dict[str, Any]]) -> None:
    assert pro.complete(messages=[USER, *history], tools=[WEATHER]).status_code == 400
