"""What a stream has used so far: by the provider's word once it is given, by bounds until then."""

import time
from collections.abc import Iterator

from usage.admission import Usage

from .errors import RouterError
from .journey import RouteAttempt
from .prices import cost_of
from .pricing import usage_of
from .types import Piece, Reply, Tokens

# As in `routing`: no language packs more bytes into a token, so this many bytes are a token at least.
MOST_BYTES_PER_TOKEN = 8
# How long a stream is read on for its usage after the client is gone, where hanging up would not end the bill.
READ_ON_SECONDS = 30.0


class Meter:
    def __init__(self, attempt: RouteAttempt) -> None:
        self._attempt = attempt
        self._tokens: Tokens | None = None
        self._cost: int | None = None
        self.finish_reason = ""
        # Whether `_tokens` are the whole answer's: some tell with each piece what it came to so far.
        self._told = False
        self._behind = ""
        self._was_cut = False
        self._speaks = False
        self._deltas = 0
        self._bytes = 0

    def take(self, batch: list[Piece]) -> list[Piece]:
        """Count what came; what of it the caller sees. Signs of life, and deltas that say nothing, only once there is
        an answer: until then a failure may still be answered by another route."""
        return [piece for piece in batch if self._take(piece)]

    def _take(self, piece: Piece) -> bool:
        if piece.finish_reason:
            self.finish_reason = piece.finish_reason
        self._behind = piece.behind or self._behind
        if piece.tokens is not None:
            self._tokens, self._cost = piece.tokens, piece.cost
            self._told = bool(self.finish_reason) or piece.delta is None
        says = self._count(piece.delta) if piece.delta else False
        # What came in one batch with the first word comes after it, whatever it says.
        self._speaks = self._speaks or says or self._attempt.money.delivered
        return says or bool(piece.finish_reason) or (self._speaks and (piece.delta is not None or piece.comment))

    @property
    def ran_over(self) -> bool:
        """More came than the hold pays for: by the fewest tokens that it can have been."""
        return max(self._deltas, self._bytes // MOST_BYTES_PER_TOKEN) > self._attempt.money.max_tokens

    def cut(self) -> Piece:
        """The last piece of an answer that we end."""
        self._was_cut = True
        return self.end("length")

    def end(self, reason: str = "stop") -> Piece:
        """The last piece, where the provider did not send one."""
        self.finish_reason = reason
        return Piece(delta={}, finish_reason=reason)

    def read_on(self, pieces: Iterator[list[Piece]]) -> None:
        """The client is gone. Where hanging up does not end the bill, read on for the usage; else do nothing."""
        if self._hanging_up_ends_the_bill:
            return
        until = time.monotonic() + READ_ON_SECONDS
        try:
            for batch in pieces:
                self.take(batch)
                if self._told or time.monotonic() > until:
                    return
        except RouterError:
            # Cut at last: what it used stays unknown.
            return

    @property
    def _hanging_up_ends_the_bill(self) -> bool:
        return self._attempt.route.connection.provider.abort_ends_the_bill(self._behind)

    def usage(self, *, gone: bool = False) -> Usage:
        """By the provider's word, else a bound: the whole hold; or, where the client is `gone` and with them the bill's
        end, the input and what came, if nothing is billed that does not come."""
        money, route = self._attempt.money, self._attempt.route
        reason = "client_gone" if gone else self.finish_reason or "stop"
        whole = self._told or not (gone or self._was_cut)
        if self._tokens is not None and whole:
            reply = Reply(message={}, finish_reason=reason, tokens=self._tokens, cost=self._cost)
            return usage_of(route, reply, money.hold)
        cost, offer = money.hold, self._attempt.offer
        if gone and self._hanging_up_ends_the_bill and self._attempt.bills_what_it_shows:
            cost = min(cost, offer.input + cost_of(self._bytes, offer.output))
        return Usage(
            tokens_output=self._bytes // 4,
            cost=cost,
            finish_reason=reason,
            estimated=not route.free,
        )

    def reply(self) -> Reply:
        return Reply(
            message={"role": "assistant", "content": None},
            finish_reason=self.finish_reason,
            tokens=self._tokens,
            cost=self._cost,
        )

    def _count(self, delta: object) -> bool:
        """Whether it says anything."""
        size = _text_bytes(delta)
        if size:
            self._deltas += 1
            self._bytes += size
        return size > 0


def _text_bytes(delta: object) -> int:
    """UTF-8 bytes of all that a delta says: text, reasoning, arguments of tools; not its frame."""
    if isinstance(delta, str):
        return len(delta.encode())
    if isinstance(delta, list):
        return sum(_text_bytes(part) for part in delta)
    if isinstance(delta, dict):
        return sum(_text_bytes(part) for name, part in delta.items() if name not in ("role", "type", "id"))
    return 0
