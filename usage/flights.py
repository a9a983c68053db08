"""An attempt under way, and how one ends; what a process must remember to hand both in again."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

# What a script is told of an attempt.
Call = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Flight:
    """An attempt under way. `hold` is in nano-dollars, `admitted_at` in microseconds since the epoch; `row` is the
    JSON that is logged, at the cost of the whole hold, if its process dies."""

    request_id: str
    attempt: int
    user_id: int
    day: str
    admitted_at: int
    provider: str
    model: str
    hold: int
    row: str

    @property
    def field(self) -> str:
        """Its name in Redis."""
        return f"{self.request_id}:{self.attempt}"

    @property
    def key(self) -> tuple[UUID, int]:
        """Its name in the table."""
        return UUID(self.request_id), self.attempt

    def as_call(self) -> Call:
        return {
            "request": self.request_id,
            "attempt": self.attempt,
            "user": self.user_id,
            "day": self.day,
            # As text: JSON numbers of this size do not survive Lua.
            "admitted_at": str(self.admitted_at),
            "provider": self.provider,
            "model": self.model,
            "hold": self.hold,
            "row": self.row,
        }


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended: its cost in nano-dollars and its row. No row: it is known never to have been sent."""

    cost: int = 0
    row: str = ""
    estimated: bool = False
    counted: bool = False

    def as_call(self, flight: Flight, *, lost: bool = False) -> Call:
        """`lost`: Redis came back knowing neither the hold nor the row."""
        return {
            "request": flight.request_id,
            "attempt": flight.attempt,
            "user": flight.user_id,
            "day": flight.day,
            "cost": self.cost,
            "row": self.row,
            "estimated": self.estimated,
            "counted": self.counted,
            "lost": lost,
        }


UNSENT = End()


@dataclass(frozen=True, slots=True)
class Receipt:
    """An end that Redis took, kept until the table has its row."""

    stream_id: str
    flight: Flight
    end: End
