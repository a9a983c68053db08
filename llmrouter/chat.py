"""The story of a chat: be admitted, try the routes, settle; whole, or in pieces as they come."""

import time
from collections.abc import Generator, Iterator

from . import router
from .errors import EveryProviderFailed
from .journey import Journey, Origin, RouteAttempt, Served, Way, begin
from .metering import Meter
from .pricing import usage_of
from .types import SIGN_OF_LIFE, Chat, Piece

# A client hears of us this often while a provider shows signs of life and has not said a word. Proxies and clients give
# up on silence after some 30 s; before the first of these an error is still an ordinary answer.
KEEP_ALIVE_SECONDS = 10.0


def complete(origin: Origin, chat: Chat) -> Served:
    """A whole answer. Raises `CallerFault`, `UsageError` or `EveryProviderFailed`; only what is served counts."""
    with begin(origin, chat) as journey:
        for attempt in journey.attempts():
            with attempt:
                reply = router.send(attempt.route, attempt.key, chat, attempt.money.max_tokens, caller=attempt.caller)
                return journey.served(attempt, reply, usage_of(attempt.route, reply, attempt.money.hold))
        raise EveryProviderFailed


def stream(origin: Origin, chat: Chat) -> "Streamed":
    """An answer in pieces. Until the first piece it raises what `complete` does, and fallback is invisible."""
    return Streamed(begin(origin, chat))


class Streamed:
    """The pieces of an answer; those that came together come together. `served` is known once they have all come.

    The first of them may be mere signs of life, while a model thinks. Until its first word it `is_waiting`: `way` names
    the route that is waited for, and another one may still answer.

    Closing it early (the client hung up) settles what was used. A provider that fails after the first piece raises
    `RouterError` from the iteration.
    """

    def __init__(self, journey: Journey) -> None:
        self.journey = journey
        self.way: Way
        self.served: Served | None = None
        self.is_waiting = False
        self._last_sign = time.monotonic()
        self._pieces = self._run()
        # A generator runs nothing until it is pulled: pulled here, a refusal is still an ordinary answer.
        self._first = next(self._pieces)

    def __iter__(self) -> Iterator[list[Piece]]:
        yield self._first
        yield from self._pieces

    def close(self) -> None:
        self._pieces.close()

    def _run(self) -> Generator[list[Piece], None, None]:
        with self.journey:
            for attempt in self.journey.attempts():
                with attempt:
                    yield from self._read(attempt)
                    return
            raise EveryProviderFailed

    def _read(self, attempt: RouteAttempt) -> Generator[list[Piece], None, None]:
        meter, chat = Meter(attempt), self.journey.chat
        pieces = router.open_stream(attempt.route, attempt.key, chat, attempt.money.max_tokens, caller=attempt.caller)
        try:
            for batch in pieces:
                if shown := meter.take(batch):
                    yield self._shown(attempt, shown)
                elif self._is_quiet(attempt):
                    yield self._waiting(attempt)
                if meter.ran_over:
                    # It was told to stop, and did not: we stop it, before it costs more than was held.
                    yield [meter.cut()]
                    meter.read_on(pieces)
                    break
        except GeneratorExit:
            # A hang-up counts, before the first word too: the provider was at work.
            attempt.delivered()
            meter.read_on(pieces)
            attempt.money.settle(meter.usage(gone=True))
            raise
        finally:
            pieces.close()
        self.served = self.journey.served(attempt, meter.reply(), meter.usage())

    def _is_quiet(self, attempt: RouteAttempt) -> bool:
        """Whether the caller has waited for long enough for a word to be shown that we are there."""
        return not attempt.money.delivered and time.monotonic() - self._last_sign >= KEEP_ALIVE_SECONDS

    def _waiting(self, attempt: RouteAttempt) -> list[Piece]:
        """A sign of life on its way to the caller. It is no part of an answer: another route may still give that."""
        self.way = self.journey.way(attempt.place)
        self.is_waiting, self._last_sign = True, time.monotonic()
        return [SIGN_OF_LIFE]

    def _shown(self, attempt: RouteAttempt, pieces: list[Piece]) -> list[Piece]:
        """On their way to the caller: from now on it is this route that answers."""
        self.way = self.journey.way(attempt.place)
        self.is_waiting = False
        attempt.delivered()
        return pieces
