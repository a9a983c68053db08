"""One connection to Redis for all callers of a process: questions go out as they come, answers return in that order.

From a pool each caller takes a connection of its own: with a thousand calls in a process that is a thousand greetings,
or a wait in line for one of a few, and for each question a look whether the connection still lives. Here whoever asks
only writes, and one listener reads for all. redis-py's connection does the connecting, greeting, packing and parsing.
"""

import fcntl
import termios
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from redis import exceptions

from accounts.deadline import at_most

# How long a line may be silent before its listener looks whether it is still wanted.
SILENCE_SECONDS = 10.0


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
        return self._came.acquire(timeout=seconds)


class Line:
    """`connect` makes a redis-py connection; a question may take so many seconds to get out (where gevent rules), and
    as many as `answering` to be answered."""

    def __init__(self, connect: Callable[[], Any], speaking: float, answering: float) -> None:
        self._connect = connect
        self._speaking_seconds = speaking
        self._seconds = answering
        self._speaking = threading.Lock()
        self._listener: _Listener | None = None

    def ask(self, *command: Any) -> Any:
        """Raises what redis-py raises, or `TooLate`: then, but for a `ResponseError`, it may have been done or not."""
        question = Question()
        with at_most(self._speaking_seconds), self._speaking:
            listener = self._listening()
            heard = listener.heard
            listener.say(question, command)
        if not question.wait(self._seconds) and not (listener.lives(heard) and question.wait(self._seconds)):
            if listener.heard == heard:
                # Silent all the while. Who waits on it may still be answered, but nobody begins to any more.
                listener.wanted = False
            raise exceptions.TimeoutError("Redis did not answer in time")
        if isinstance(question.answer, BaseException):
            raise question.answer
        return question.answer

    def _listening(self) -> "_Listener":
        if self._listener is None or not self._listener.wanted:
            self._listener = _Listener(self._connect())
        return self._listener


class _Listener:
    """A connection, those who wait for an answer on it in the order in which they asked, and who reads for them."""

    def __init__(self, connection: Any) -> None:
        self.wanted = True
        # How many answers came.
        self.heard = 0
        self._connection = connection
        self._waiting: deque[Question] = deque()
        connection.connect()
        threading.Thread(target=self._listen, name="redis-line", daemon=True).start()

    def say(self, question: Question, command: tuple[Any, ...]) -> None:
        self._waiting.append(question)
        try:
            self._connection.send_packed_command(self._connection.pack_command(*command), check_health=False)
        except BaseException:
            # Half of it may be on the way: nothing that follows would be understood.
            self.wanted = False
            self._connection.disconnect()
            raise

    def lives(self, heard: int) -> bool:
        """Whether something came since `heard`, or lies there unread (asked of the kernel: the socket itself is in the
        listener's hands). A thousand calls that end at one instant keep Redis, and this process from listening, for
        longer than one answer may take; a server that is away or frozen says nothing at all."""
        if self.heard != heard:
            return True
        try:
            return any(fcntl.ioctl(self._connection._sock.fileno(), termios.FIONREAD, bytes(4)))
        except (OSError, AttributeError):
            return False

    def _listen(self) -> None:
        try:
            while self.wanted or self._waiting:
                self._hear()
        except Exception as error:  # noqa: BLE001 (whatever it is, those who wait are told)
            self.wanted = False
            ended = error if isinstance(error, exceptions.RedisError) else exceptions.ConnectionError(str(error))
        else:
            ended = exceptions.ConnectionError("no longer wanted")
        self._connection.disconnect()
        while self._waiting:
            self._waiting.popleft().answered(ended)

    def _hear(self) -> None:
        try:
            answer = self._connection.read_response(timeout=SILENCE_SECONDS, disconnect_on_error=False)
        except exceptions.ResponseError as error:
            answer = error
        except exceptions.TimeoutError:
            if self._waiting:
                raise
            return
        self.heard += 1
        self._waiting.popleft().answered(answer)
