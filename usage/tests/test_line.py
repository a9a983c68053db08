"""The line that all callers of a process share: each gets the answer to its own question, and to no other."""

import gc
import socket
import subprocess
import sys
import threading
import time
import weakref
from typing import Any

import pytest
from django.conf import settings
from redis import connection as redis_connection
from redis import exceptions

from tests.concurrency import at_once, eventually
from usage.line import MOST_TOGETHER, Line, Question
from usage.redis import client

# Without its types, which it has only in part.
Connection: Any = redis_connection.Connection


def waiting_on(line: Line) -> int:
    listener = line._listener
    assert listener is not None
    return len(listener._waiting)


def connect() -> Any:
    return Connection(**client().connection_pool.connection_kwargs)


@pytest.fixture
def line() -> Line:
    return Line(connect, 0.5, 0.5)


def listener_question(listener: Any) -> Question:
    question = Question()
    listener._waiting.append(question)
    return question


def ids() -> set[str]:
    return {each["id"] for each in client().client_list()}


def test_each_gets_its_own_answer(line: Line) -> None:
    numbers = iter(range(200))

    def echo() -> bool:
        mine = str(next(numbers))
        return bool(line.ask("ECHO", mine) == mine)

    answers, raised = at_once(50, lambda: all(echo() for _ in range(4)))
    assert (raised, answers) == ([], [True] * 50)


def test_all_of_them_share_one_connection(line: Line) -> None:
    assert len(set(at_once(50, lambda: line.ask("CLIENT", "ID"))[0])) == 1


def test_what_is_asked_meanwhile_leaves_together(monkeypatch: pytest.MonkeyPatch) -> None:
    may_send, sent = threading.Event(), []

    def write(sock: socket.socket, said: bytes) -> None:
        sent.append(said.count(b"ECHO"))
        assert may_send.wait(5)
        sock.sendall(said)

    line = Line(connect, 0.5, 5)
    line.ask("PING")
    monkeypatch.setattr(line._listener, "_write", write)
    numbers = iter(range(20))

    def ask() -> bool:
        mine = str(next(numbers))
        return bool(line.ask("ECHO", mine) == mine)

    def let_them_send() -> None:
        eventually(lambda: waiting_on(line) == 20)
        may_send.set()

    threading.Thread(target=let_them_send).start()
    assert at_once(20, ask)[0] == [True] * 20
    assert sum(sent) == 20
    assert len(sent) <= 2


def test_who_was_not_said_yet_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is us who are slow, not Redis."""
    sending = threading.Event()

    def write(sock: socket.socket, said: bytes) -> None:
        if not sending.is_set():
            sending.set()
            time.sleep(2.4)
        sock.sendall(said)

    line = Line(connect, 0.5, 2)
    line.ask("PING")
    monkeypatch.setattr(line._listener, "_write", write)
    threading.Thread(target=line.ask, args=("ECHO", "first")).start()
    assert sending.wait(5)
    answers, raised = at_once(5, lambda: line.ask("ECHO", "x"))
    assert (answers, raised) == (["x"] * 5, [])


CROWD = """
import gevent.monkey
gevent.monkey.patch_all()
import sys, time
import gevent
from redis import RedisError
from redis.connection import Connection
from accounts.deadline import TooLate
from usage.line import Line

def ask():
    began = time.monotonic()
    try:
        line.ask("ECHO", "x" * 16384)
    except (RedisError, TooLate):
        return time.monotonic() - began

port = int(sys.argv[1])
line = Line(lambda: Connection(port=port, protocol=2, lib_name=None, lib_version=None), 0.45, 0.45)
crowd = [gevent.spawn(ask) for _ in range(600)]
gevent.joinall(crowd)
print(max(caller.value for caller in crowd))
"""


def test_a_crowd_before_a_redis_that_is_frozen() -> None:
    """It takes in what its buffers hold, and no more: whoever speaks for the others does not wait for it either."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        command = [sys.executable, "-c", CROWD, str(frozen.getsockname()[1])]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=settings.BASE_DIR)
    # A second is what was promised, a few what a busy machine makes of it; it was ten.
    assert float(done.stdout) < 4


def test_a_crowd_does_not_wait_for_the_speaker(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(connect, 0.5, 0.5)
    line.ask("PING")
    # As if its turn did not come.
    monkeypatch.setattr(line._listener, "_call_the_speaker", lambda: None)
    answers, raised = at_once(MOST_TOGETHER, lambda: line.ask("ECHO", "x"))
    assert (answers, raised) == (["x"] * MOST_TOGETHER, [])


def test_a_question_that_cannot_be_sent_fails_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(sock: socket.socket, said: bytes) -> None:
        time.sleep(0.1)
        raise ConnectionResetError

    line = Line(connect, 0.5, 5)
    line.ask("PING")
    monkeypatch.setattr(line._listener, "_write", write)
    began = time.monotonic()
    answers, raised = at_once(5, lambda: line.ask("ECHO", "x"))
    assert (answers, {type(error) for error in raised}) == ([], {exceptions.ConnectionError})
    assert time.monotonic() - began < 4


def test_an_error_is_the_asker_s_alone(line: Line) -> None:
    with pytest.raises(exceptions.NoScriptError):
        line.ask("EVALSHA", "0" * 40, 0)
    assert line.ask("ECHO", "still there") == "still there"


def test_a_line_that_was_cut_is_made_anew(line: Line) -> None:
    first, listener = line.ask("CLIENT", "ID"), line._listener
    assert listener is not None
    client().client_kill_filter(_id=first)
    eventually(lambda: not listener.wanted)
    assert line.ask("CLIENT", "ID") != first


def test_cut_in_the_middle_everybody_who_waits_is_told() -> None:
    line = Line(connect, 0.5, 5)
    own = line.ask("CLIENT", "ID")

    def cut() -> None:
        eventually(lambda: waiting_on(line) == 5)
        client().client_kill_filter(_id=own)

    threading.Thread(target=cut).start()
    answers, raised = at_once(5, lambda: line.ask("BLPOP", "nothing", 20))
    assert (answers, {type(error) for error in raised}) == ([], {exceptions.ConnectionError})


def test_who_waits_too_long_goes_and_the_late_answer_is_nobody_else_s(line: Line) -> None:
    first = line.ask("CLIENT", "ID")
    with pytest.raises(exceptions.TimeoutError):
        line.ask("BLPOP", "nothing", 2)
    # The next one does not stand in line behind the answer that is late, nor is it given it.
    assert line.ask("CLIENT", "ID") != first
    # And when that has come, the old line is closed.
    eventually(lambda: str(first) not in ids())


def test_nobody_there(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = {**client().connection_pool.connection_kwargs, "port": port}
    with pytest.raises(exceptions.ConnectionError):
        Line(lambda: Connection(**arguments), 0.5, 0.5).ask("PING")


def test_what_nobody_foresaw_is_logged_and_told(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line.ask("PING")
    broken = line._listener
    assert broken is not None

    def stumble() -> None:
        while not broken._waiting:
            time.sleep(0.01)
        raise ValueError("what is this?")

    # It may wait for the next answer already; the one after that it stumbles over.
    monkeypatch.setattr(broken, "_hear", stumble)
    with pytest.raises(exceptions.ConnectionError, match="what is this"):
        any(line.ask("ECHO", "") for _ in range(2))
    assert "cannot be understood" in caplog.text
    assert line.ask("ECHO", "x") == "x"


def test_each_who_waited_gets_an_error_of_its_own(line: Line) -> None:
    line.ask("PING")
    listener = line._listener
    assert listener is not None
    asked = [listener_question(listener) for _ in range(3)]
    listener._end(exceptions.ConnectionError("gone"))
    told = []
    for question in asked:
        with pytest.raises(exceptions.ConnectionError, match="gone") as raised:
            question.result()
        told.append(raised.value)
    assert len(set(map(id, told))) == 3


def test_an_error_is_in_no_circle(line: Line) -> None:
    gc.disable()
    try:
        with pytest.raises(exceptions.ResponseError) as raised:
            line.ask("NOSUCHCOMMAND")
        kept = weakref.ref(raised.value)
        del raised
        # The listener, which told it, may have it in its hand for an instant more.
        eventually(lambda: kept() is None)
    finally:
        gc.enable()
