"""Answers that are readable are read, whatever their headers say and however their bytes are cut."""

import json
from typing import Any

import pytest

from llmrouter.errors import Unclear
from llmrouter.providers.lenient_json import Halves, loads, without_halves
from tests.standins.provider import Call, Handler, Misbehaviour, ProviderStandIn

from .scripted import USAGE, added_up, chunk, last_chunk, streams, tool
from .talking import Talker, events_of, rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

ANSWER = [chunk({"role": "assistant", "content": "a"}), chunk({"content": "b"}), chunk({}, "stop"), last_chunk()]


def says(body: bytes, status: int = 200, content_type: str = "application/json") -> Misbehaviour:
    def misbehave(handler: Handler, call: Call) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return misbehave


def document(content: str = "ab") -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE}).encode()


def read(pro: Talker, standin: ProviderStandIn, fault: Misbehaviour) -> str:
    """The text of a stream that is answered as told, and well."""
    standin["openrouter"].faults = [fault]
    response = pro.complete(stream=True)
    events = events_of(response)
    found = added_up(events)
    assert (response["X-IAF-Provider"], found["error"], events[-1]) == ("openrouter", None, "[DONE]")
    assert found["reasons"] == ["stop"]
    assert not rows()[-1].estimated
    text: str = found["content"]
    return text


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json", "Text/Event-Stream; Charset=UTF-8", "application/x-ndjson", ""]
)
def test_a_stream_is_one_whatever_its_type_says(pro: Talker, standin: ProviderStandIn, content_type: str) -> None:
    assert read(pro, standin, streams(*ANSWER, content_type=content_type)) == "ab"


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json", "text/plain"])
def test_a_whole_answer_to_who_asked_for_a_stream(pro: Talker, standin: ProviderStandIn, content_type: str) -> None:
    assert read(pro, standin, says(document(), content_type=content_type)) == "ab"


@pytest.mark.parametrize("lead", [b"", b"\n\n", b"\xef\xbb\xbf", b": x\n\n"])
def test_a_stream_to_who_asked_for_a_whole_answer(pro: Talker, standin: ProviderStandIn, lead: bytes) -> None:
    events = lead + b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in ANSWER) + b"data: [DONE]\n\n"
    standin["openrouter"].faults = [says(events, content_type="text/event-stream")]
    response = pro.complete()
    assert (response["X-IAF-Provider"], response.json()["choices"][0]["message"]["content"]) == ("openrouter", "ab")
    assert (rows()[0].tokens_output, rows()[0].estimated) == (20, False)


def test_calls_of_a_stream_that_came_whole_are_put_together(pro: Talker, standin: ProviderStandIn) -> None:
    parts = [tool(0, "", id="a", name="f"), tool(0, '{"a"'), tool(0, ":1}"), tool(1, "{}", id="b", name="g")]
    events = b"".join(b"data: " + json.dumps(chunk({"tool_calls": [part]})).encode() + b"\n\n" for part in parts)
    standin["openrouter"].faults = [says(events + b"data: [DONE]\n\n")]
    (choice,) = pro.complete().json()["choices"]
    assert [call["function"]["arguments"] for call in choice["message"]["tool_calls"]] == ['{"a":1}', "{}"]
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("status", [201, 202, 203, 206])
def test_an_answer_under_any_2xx_is_one(pro: Talker, standin: ProviderStandIn, status: int) -> None:
    standin["openrouter"].faults = [says(document(), status)]
    assert pro.complete()["X-IAF-Provider"] == "openrouter"
    assert read(pro, standin, streams(*ANSWER, status=status)) == "ab"


@pytest.mark.parametrize("end", ["[DONE] ", " [DONE]", "[DONE]\t", "[done]", '"[DONE]"'])
def test_the_end_with_blanks_is_the_end(pro: Talker, standin: ProviderStandIn, end: str) -> None:
    assert read(pro, standin, streams(*ANSWER, last=end)) == "ab"


@pytest.mark.parametrize(
    "event", [b"data: ping\n\n", b"data: keep-alive\n\n", b"data: null\n\n", b'data: "ping"\n\n', b"data: {}\n\n"]
)
def test_a_ping_that_is_no_chunk_is_a_sign_of_life(pro: Talker, standin: ProviderStandIn, event: bytes) -> None:
    assert read(pro, standin, streams(event, ANSWER[0], event, *ANSWER[1:])) == "ab"


@pytest.mark.parametrize(
    "event", [b"data: upstream connect error\n\n", b"data: [1, 2]\n\n", b'data: {"choices": [{"de\n\n']
)
def test_what_is_no_json_in_the_middle_is_a_failure(pro: Talker, standin: ProviderStandIn, event: bytes) -> None:
    standin["openrouter"].faults = [streams(ANSWER[0], event, *ANSWER[1:])]
    assert added_up(events_of(pro.complete(stream=True)))["error"]["code"] == "provider_failed"


def event_of(content: str) -> bytes:
    """An event whose content is written as it stands, escapes and all."""
    return b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}}]}\n\n' % content.encode(
        "utf-8", "surrogateescape"
    )


HALVES: dict[str, tuple[list[bytes], str]] = {
    "an emoji, escaped": ([event_of("\\ud83d"), event_of("\\ude00")], "😀"),
    "an Arabic letter, in bytes": ([event_of("\udcd9"), event_of("\udc85")], "م"),
    "an emoji, in four bytes": ([event_of(byte) for byte in ("\udcf0", "\udc9f", "\udc98", "\udc80")], "😀"),
    "text around the halves": ([event_of("x\\ud83d"), event_of("\\ude00y")], "x😀y"),
    "a half that stays one": ([event_of("x\\ud83d"), event_of("y")], "x\ufffdy"),
    "a byte that is none": ([event_of("x\udcff"), event_of("y")], "x\ufffdy"),
    "a half at the very end": ([event_of("x\\ud83d")], "x\ufffd"),
    "a second half alone": ([event_of("\\ude00x")], "\ufffdx"),
}


@pytest.mark.parametrize(("events", "text"), HALVES.values(), ids=HALVES)
def test_halves_of_characters_meet(pro: Talker, standin: ProviderStandIn, events: list[bytes], text: str) -> None:
    assert read(pro, standin, streams(chunk({"content": "a"}), *events, *ANSWER[2:])) == f"a{text}"


def test_halves_in_arguments_of_a_tool_meet(pro: Talker, standin: ProviderStandIn) -> None:
    head = chunk({"tool_calls": [tool(0, '{"city":"', id="a", name="f")]})
    halves = [
        b'data: {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "\xd9"}}]}}]}\n\n',
        b'data: {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "\x85\\"}"}}]}}]}\n\n',
    ]
    standin["openrouter"].faults = [streams(head, *halves, chunk({}, "tool_calls"), last_chunk())]
    found = added_up(events_of(pro.complete(stream=True)))
    assert json.loads(found["calls"][0]["arguments"]) == {"city": "م"}


BODIES: dict[str, tuple[bytes, str]] = {
    "a byte order mark": (b"\xef\xbb\xbf" + document(), "ab"),
    "blank lines before it": (b"\n \r\n" + document(), "ab"),
    "a raw line break in a text": (document().replace(b'"ab"', b'"a\nb"'), "a\nb"),
    "half an emoji": (document().replace(b'"ab"', b'"a\\ud83d"'), "a\ufffd"),
    "an emoji in two escapes, and a byte": (document().replace(b'"ab"', b'"\\ud83d\\ude00\xff"'), "😀\ufffd"),
    "NaN": (document().replace(b'"finish_reason"', b'"logprobs": {"x": NaN, "y": -Infinity}, "finish_reason"'), "ab"),
    "a number of many digits": (
        document().replace(b'"finish_reason"', b'"seed": ' + b"9" * 40 + b', "finish_reason"'),
        "ab",
    ),
}


@pytest.mark.parametrize(("body", "text"), BODIES.values(), ids=BODIES)
def test_a_whole_body_is_read_with_care(pro: Talker, standin: ProviderStandIn, body: bytes, text: str) -> None:
    standin["openrouter"].faults = [says(body)]
    response = pro.complete()
    assert (response["X-IAF-Provider"], response.json()["choices"][0]["message"]["content"]) == ("openrouter", text)


def test_content_in_any_type_is_text(pro: Talker, standin: ProviderStandIn) -> None:
    pieces: list[Any] = [42, {"type": "text", "text": "b"}, [{"type": "text", "text": "c"}, "d"], None, True]
    standin["openrouter"].faults = [streams(*[chunk({"content": piece}) for piece in pieces], *ANSWER[2:])]
    assert added_up(events_of(pro.complete(stream=True)))["content"] == "42bcd"


@pytest.mark.parametrize(
    "choice", [{"index": 0, "message": {"content": "ab"}}, {"index": 0, "text": "ab"}, {"message": {"content": "ab"}}]
)
def test_a_message_or_a_text_in_the_place_of_a_delta(pro: Talker, standin: ProviderStandIn, choice: Any) -> None:
    assert read(pro, standin, streams({"choices": [choice]}, *ANSWER[2:])) == "ab"


@pytest.mark.parametrize("envelope", ["data", "result", "output"])
def test_an_answer_in_an_envelope_is_read(pro: Talker, standin: ProviderStandIn, envelope: str) -> None:
    inner = json.loads(document())
    usage = inner.pop("usage")
    body = {"code": 0, "message": "success", envelope: inner, "usage": usage}
    standin["openrouter"].faults = [says(json.dumps(body).encode())]
    response = pro.complete()
    assert (response["X-IAF-Provider"], response.json()["choices"][0]["message"]["content"]) == ("openrouter", "ab")
    assert (rows()[0].tokens_output, rows()[0].estimated) == (20, False)
    pieces = [{"code": 0, "message": "success", envelope: {"choices": each["choices"]}} for each in ANSWER[:3]]
    assert read(pro, standin, streams(*pieces, last_chunk())) == "ab"


def test_a_message_beside_the_deltas_is_not_said_twice(pro: Talker, standin: ProviderStandIn) -> None:
    ending = {"choices": [{"index": 0, "message": {"content": "ab"}, "finish_reason": "stop"}]}
    assert read(pro, standin, streams(*ANSWER[:2], ending, last_chunk())) == "ab"


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b'{"a": ' * 2000 + b"1" + b"}" * 2000, b"\xff", b'"\\ud8'])
def test_what_is_not_json_is_unclear(body: bytes) -> None:
    with pytest.raises(Unclear):
        without_halves(loads(body)[0])


def test_the_texts_of_two_fields_do_not_mix() -> None:
    halves = Halves()
    assert halves.join("content", "a\ud83d") == "a"
    assert halves.join("reasoning", "\ude00b") == "\ufffdb"
    assert halves.join("content", "\ude00") == "😀"
    assert not halves


FRAMES: dict[str, Misbehaviour] = {
    "no blank line between events": streams(
        b"".join(b"data: " + json.dumps(event).encode() + b"\n" for event in ANSWER)
    ),
    "framed twice": streams(*(b"data: data: " + json.dumps(event).encode() + b"\n\n" for event in ANSWER)),
    "a chunk on each line and no frame": streams(*(json.dumps(event).encode() + b"\n" for event in ANSWER), last=""),
}


@pytest.mark.parametrize("fault", FRAMES.values(), ids=FRAMES)
def test_a_stream_in_another_frame_is_read(pro: Talker, standin: ProviderStandIn, fault: Misbehaviour) -> None:
    assert read(pro, standin, fault) == "ab"
    standin["openrouter"].faults = [fault]
    assert pro.complete().json()["choices"][0]["message"]["content"] == "ab"
    assert [(row.provider, row.estimated) for row in rows()] == [("openrouter", False)] * 2


CHOICES: dict[str, Any] = {
    "the text of 2022": [{"text": "ab", "finish_reason": "stop"}],
    "a delta": [{"delta": {"content": "ab"}, "finish_reason": "stop"}],
    "a choice without a list": {"message": {"content": "ab"}, "finish_reason": "stop"},
    "a message beside an empty delta": [{"delta": {}, "message": {"content": "ab"}, "finish_reason": "stop"}],
}


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_the_words_are_found_where_they_are(pro: Talker, standin: ProviderStandIn, choices: Any) -> None:
    body = {"choices": choices, "usage": USAGE}
    standin["openrouter"].faults = [says(json.dumps(body).encode())]
    assert pro.say()["response"] == "ab"
    assert read(pro, standin, streams(body)) == "ab"


def test_a_delta_that_is_a_mere_text(pro: Talker, standin: ProviderStandIn) -> None:
    assert read(pro, standin, streams({"choices": [{"delta": "ab"}]}, *ANSWER[2:])) == "ab"
