"""The story of a chat: be admitted, try the routes, settle; whole, or in pieces as they come."""

from collections.abc import Generator, Iterator

from . import router
from .errors import EveryProviderFailed
from .journey import Journey, Origin, RouteAttempt, Served, Way, begin
from .metering import Meter
from .pricing import usage_of
from .types import Chat, Piece


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

    Closing it early (the client hung up) settles what was used. A provider that fails after the first piece raises
    `RouterError` from the iteration.
    """

    def __init__(self, journey: Journey) -> None:
        self.journey = journey
        self.way: Way
        self.served: Served | None = None
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
                if meter.ran_over:
                    # It was told to stop, and did not: we stop it, before it costs more than was held.
                    yield [meter.cut()]
                    break
            else:
                if not meter.finish_reason:
                    yield self._shown(attempt, [meter.end()])
        except GeneratorExit:
            meter.read_on(pieces)
            attempt.money.settle(meter.usage(gone=True))
            raise
        finally:
            pieces.close()
        self.served = self.journey.served(attempt, meter.reply(), meter.usage())

    def _shown(self, attempt: RouteAttempt, pieces: list[Piece]) -> list[Piece]:
        """On their way to the caller: from now on it is this route that answers."""
        self.way = self.journey.way(attempt.place)
        attempt.delivered()
        return pieces
