"""What a stream has used so far: by the provider's word once it is given, by bounds until then."""

import time
from collections.abc import Iterator
from dataclasses import replace

from usage.admission import Usage

from .errors import RouterError
from .journey import RouteAttempt
from .prices import cost_of
from .pricing import usage_of
from .providers.usage_reader import MOST_BYTES_PER_TOKEN, believable, larger
from .spoken import hides_thoughts, spoken_bytes
from .types import Piece, Reply, Tokens

# How long a stream is read on for its usage after the client is gone, where hanging up would not end the bill.
READ_ON_SECONDS = 30.0


class Meter:
    def __init__(self, attempt: RouteAttempt) -> None:
        self._attempt = attempt
        self._most_tokens = attempt.money.max_tokens
        self._most_bytes = self._most_tokens * MOST_BYTES_PER_TOKEN
        self._tokens: Tokens | None = None
        self._cost: int | None = None
        self.finish_reason = ""
        # The provider said why the answer ends; it came to its end; no word came after the last usage. A usage before
        # the last word is not the bill.
        self._finished = False
        self._ended = False
        self._usage_is_last = False
        self._behind = ""
        self._was_cut = False
        self._speaks = False
        self._bytes = 0
        # Thoughts came that are billed and not shown.
        self._hides = False
        # What came before the first word and is not to be lost: signatures of thoughts.
        self._held: list[Piece] = []

    def take(self, batch: list[Piece]) -> list[Piece]:
        """Count what came; what of it the caller sees. Signs of life, and deltas that say nothing, only once there is
        an answer: until then a failure may still be answered by another route."""
        shown: list[Piece] = []
        over: int | None = None
        for piece in batch:
            before = self._bytes
            self._count(piece)
            shown += self._shown(piece, says=self._bytes > before)
            if self._bytes > self._most_bytes and over is None:
                over = len(shown)
        return shown[:over] if self.ran_over else shown

    def _shown(self, piece: Piece, *, says: bool) -> list[Piece]:
        if self._speaks:
            visible = piece.delta is not None or piece.comment or piece.finish_reason
            return [piece] if visible else []
        if says or piece.finish_reason:
            self._speaks, held, self._held = True, self._held, []
            return [*held, piece]
        if piece.delta and any(piece.delta.values()):
            self._held.append(piece)
        return []

    def _count(self, piece: Piece) -> None:
        if piece.delta and (size := spoken_bytes(piece.delta)):
            self._bytes += size
            # The last piece holds what waited for the end: the provider had sent it before.
            self._usage_is_last = self._usage_is_last and bool(piece.finish_reason)
        if piece.delta and "reasoning_details" in piece.delta and hides_thoughts(piece.delta):
            self._hides = True
        if piece.tokens is not None or piece.cost is not None:
            self._hear(piece.tokens, piece.cost)
        if piece.behind:
            self._behind = piece.behind
        if piece.ends:
            self._finished = True
        if piece.finish_reason:
            self.finish_reason, self._ended = self.finish_reason or piece.finish_reason, True

    def _hear(self, tokens: Tokens | None, cost: int | None) -> None:
        """A usage. A bill belongs to the counts beside it: it stays where later counts are no larger."""
        counted = larger(self._tokens, tokens)
        if self._cost is None or (cost or 0) > self._cost or _grew(self._tokens, counted):
            self._cost = cost
        self._tokens = counted
        self._usage_is_last = True

    @property
    def ran_over(self) -> bool:
        """More came than the hold pays for: by the fewest tokens that it can have been, or by the provider's own count.
        Behind the provider's own end there is nothing to cut."""
        if self._finished or self._ended:
            return False
        counted = self._tokens.output if self._tokens is not None else 0
        return self._bytes > self._most_bytes or counted > self._most_tokens

    def cut(self) -> Piece:
        """The last piece of an answer that we end."""
        self._was_cut = True
        self.finish_reason = "length"
        return Piece(delta={}, finish_reason="length")

    def read_on(self, pieces: Iterator[list[Piece]]) -> None:
        """Nobody reads on: the client is gone, or we cut the answer. Where hanging up does not end the bill, read on
        for the usage; else do nothing."""
        if self._hanging_up_ends_the_bill:
            return
        until = time.monotonic() + READ_ON_SECONDS
        try:
            for batch in pieces:
                for piece in batch:
                    self._count(piece)
                if self._told or time.monotonic() > until:
                    return
        except RouterError:
            # Cut at last: what it used stays unknown.
            return

    @property
    def _hanging_up_ends_the_bill(self) -> bool:
        return self._attempt.route.connection.provider.abort_ends_the_bill(self._behind)

    @property
    def _told(self) -> bool:
        """Whether the usage is the whole answer's: some tell with each piece what it came to so far."""
        return self._usage_is_last and (self._finished or self._ended)

    def usage(self, *, gone: bool = False) -> Usage:
        """By the provider's word, else a bound: the whole hold; or, where the client is `gone` and with them the bill's
        end, the input and what came, if nothing is billed that does not come."""
        money, route = self._attempt.money, self._attempt.route
        reason = "client_gone" if gone else self.finish_reason or "stop"
        used = usage_of(route, self.reply(reason), money.hold)
        if not used.tokens_output:
            used = replace(used, tokens_output=self._bytes // 4)
        offer = self._attempt.offer
        shows_all = self._attempt.bills_what_it_shows and not self._hides
        if used.estimated and gone and self._hanging_up_ends_the_bill and shows_all:
            return replace(used, cost=min(used.cost, offer.input + cost_of(self._bytes, offer.output)))
        return used

    def reply(self, reason: str | None = None) -> Reply:
        """What the provider told of the whole answer."""
        return Reply(
            message={"role": "assistant", "content": None},
            finish_reason=reason or self.finish_reason,
            tokens=believable(self._tokens, self._bytes) if self._told else None,
            cost=self._cost if self._told else None,
        )


def _grew(old: Tokens | None, new: Tokens | None) -> bool:
    return old is not None and new is not None and (new.input, new.output) != (old.input, old.output)
