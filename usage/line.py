"""One connection to Redis for all callers of a process: questions go out as they come, answers return in that order.

From a pool each caller takes a connection of its own: with a thousand calls in a process that is a thousand greetings,
or a wait in line for one of a few, and for each question a look whether the connection still lives. Here one speaker
writes and one listener reads for all. What is asked while the speaker waits for its turn leaves together: one system
call, and for Redis one write to its file, instead of one each; when they are many, who asks speaks for all. redis-py's
connection does the connecting, greeting, packing and parsing.
"""

import fcntl
import logging
import socket
import termios
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis import exceptions

from accounts.deadline import at_most

logger = logging.getLogger(__name__)

# How long a line may be silent before its listener looks whether it is still wanted.
SILENCE_SECONDS = 10.0
# So many questions do not wait for more: in a crowd the speaker's turn comes late, and Redis can be at the first ones.
MOST_TOGETHER = 16


class Question:
    """Asked; the answer, or the exception that is one, comes later."""

    __slots__ = ("_came", "answer")

    def __init__(self) -> None:
        self.answer: Any = None
        self._came = threading.Lock()
        self._came.acquire()

    def answered(self, answer: Any) -> None:
        self.answer = answer
        self._came.release()

    def wait(self, seconds: float) -> bool:
        return self._came.acquire(timeout=max(0.0, seconds))

    def result(self) -> Any:
        """Of a question that is answered; asked for once."""
        answer, self.answer = self.answer, None
        if not isinstance(answer, BaseException):
            return answer
        try:
            raise answer
        finally:
            # It holds this frame: a circle, if the frame held it.
            del answer


class Line:
    """`connect` makes a redis-py connection, in so many seconds of `greeting` (where gevent rules). An answer may take
    as many as `answering`; from a Redis that answers others meanwhile twice that, with the greeting."""

    def __init__(self, connect: Callable[[], Any], greeting: float, answering: float) -> None:
        self._connect = connect
        self._greeting_seconds = greeting
        self._seconds = answering
        self._connecting = threading.Lock()
        self._listener: _Listener | None = None

    def ask(self, *command: Any) -> Any:
        """Raises what redis-py raises, or `TooLate`: then, but for a `ResponseError`, it may have been done or not."""
        question, until = Question(), time.monotonic() + 2 * self._seconds
        listener = self._listening()
        heard = listener.heard
        listener.say(question, command, self._seconds)
        left = until - time.monotonic()
        if not question.wait(min(left, self._seconds)) and not (
            listener.lives(heard) and question.wait(until - time.monotonic())
        ):
            if listener.heard == heard:
                # Silent all the while. Who waits on it may still be answered, but nobody begins to any more.
                listener.wanted = False
            raise exceptions.TimeoutError("Redis did not answer in time")
        return question.result()

    def _listening(self) -> "_Listener":
        listener = self._listener
        if listener is not None and listener.wanted:
            return listener
        with at_most(self._greeting_seconds):
            if not self._connecting.acquire(timeout=self._greeting_seconds):
                raise exceptions.TimeoutError("Redis does not greet in time")
            try:
                if self._listener is None or not self._listener.wanted:
                    self._listener = _Listener(self._connect())
                return self._listener
            finally:
                self._connecting.release()


class _Listener:
    """A connection, those who wait for an answer on it in the order in which they asked, and who writes and reads for
    them."""

    def __init__(self, connection: Any) -> None:
        # Whether anybody new should ask here; and whether nobody can any more.
        self.wanted = True
        self._over = False
        # How many answers came.
        self.heard = 0
        self._connection = connection
        # Those who wait are in the order of what is said.
        self._order = threading.Lock()
        self._waiting: deque[Question] = deque()
        # Asked, and not sent yet.
        self._unsaid: list[bytes] = []
        self._speaking = threading.Lock()
        # Held while nobody called the speaker.
        self._quiet = threading.Lock()
        self._quiet.acquire()
        connection.connect()
        try:
            threading.Thread(target=self._speak, name="redis-speaker", daemon=True).start()
            threading.Thread(target=self._listen, name="redis-line", daemon=True).start()
        except BaseException as error:
            # The time was up: whoever has begun ends again.
            self._end(error)
            raise

    def say(self, question: Question, command: tuple[Any, ...], seconds: float) -> None:
        packed = b"".join(self._connection.pack_command(*command))
        with self._order:
            if self._over:
                raise exceptions.ConnectionError("the connection has ended")
            self._waiting.append(question)
            self._unsaid.append(packed)
            together = len(self._unsaid)
            self._call_the_speaker()
        if together >= MOST_TOGETHER and self._speaking.acquire(blocking=False):
            try:
                # When it fails, those who wait are told: the one who spoke too.
                with suppress(Exception), at_most(seconds):
                    self._send()
            finally:
                self._speaking.release()

    def _call_the_speaker(self) -> None:
        """Under `_order`: nobody else calls it meanwhile."""
        if self._quiet.locked():
            self._quiet.release()

    def _speak(self) -> None:
        while not self._over:
            self._quiet.acquire()
            with self._speaking, suppress(Exception):
                self._send()

    def _send(self) -> None:
        with self._order:
            said, self._unsaid = self._unsaid, []
            # Taken here: a connection that has ended would connect again.
            sock = self._connection._sock
            if self._over or sock is None or not said:
                return
        try:
            self._write(sock, b"".join(said))
        except BaseException as error:
            # Half of it may be on the way: nothing that follows would be understood.
            self._end(error)
            raise

    def _write(self, sock: socket.socket, said: bytes) -> None:
        sock.sendall(said)

    def lives(self, heard: int) -> bool:
        """Whether something came since `heard`, or lies there unread (asked of the kernel: the socket itself is in the
        listener's hands), or has not been said yet. A thousand calls that end at one instant keep Redis, and this
        process from speaking and listening, for longer than one answer may take; a server that is away or frozen says
        nothing at all."""
        if self.heard != heard or self._unsaid:
            return True
        try:
            return any(fcntl.ioctl(self._connection._sock.fileno(), termios.FIONREAD, bytes(4)))
        except (OSError, AttributeError):
            return False

    def _listen(self) -> None:
        try:
            while self.wanted or self._waiting:
                self._hear()
            self._end(exceptions.ConnectionError("no longer wanted"))
        except exceptions.RedisError as error:
            self._end(error)
        except Exception as error:
            # A listener whose connection was taken away by a speaker that failed stumbles over anything.
            if not self._over:
                logger.error("Error: what Redis says cannot be understood", exc_info=error)
            self._end(error)

    def _end(self, error: BaseException) -> None:
        """Tell those who wait; whoever still speaks or listens finds the connection gone."""
        self.wanted = False
        with self._order:
            if self._over:
                return
            self._over = True
            waiting, self._waiting = self._waiting, deque()
            self._call_the_speaker()
        self._connection.disconnect()
        told = error if isinstance(error, exceptions.RedisError) else exceptions.ConnectionError(str(error))
        for question in waiting:
            # Each has its own: one that all of them raise would keep the frames of all.
            question.answered(type(told)(*told.args))

    def _hear(self) -> None:
        somebody_waited = bool(self._waiting)
        try:
            answer = self._connection.read_response(timeout=SILENCE_SECONDS, disconnect_on_error=False)
        except exceptions.ResponseError as error:
            # Not with the way it took to here: this frame holds it.
            answer = error.with_traceback(None)
        except exceptions.TimeoutError:
            if somebody_waited:
                raise
            return
        self.heard += 1
        self._waiting.popleft().answered(answer)
