"""An attempt under way, and how one ends; what a process must remember to hand both in again."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

# What a script is told.
Call = dict[str, Any]
# An attempt as the table knows it: the request, and the number of the attempt.
AttemptKey = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class Message:
    """A message that counts already and is not answered yet."""

    request_id: str
    user_id: int
    day: str
    # Microseconds since the epoch; 0 where nobody needs it.
    admitted_at: int = 0

    def as_call(self, *, counted: bool) -> Call:
        """`counted`: the ledger has a row that counts it."""
        about = {"request": self.request_id, "user": self.user_id, "day": self.day}
        return {**about, "admitted_at": str(self.admitted_at), "counted": counted}


class NamedAttempt:
    """How an attempt is called, in Redis and in the table."""

    __slots__ = ()
    request_id: str
    attempt: int

    @property
    def field(self) -> str:
        """Its name in Redis."""
        return f"{self.request_id}:{self.attempt}"

    @property
    def key(self) -> AttemptKey:
        return UUID(self.request_id), self.attempt


@dataclass(frozen=True, slots=True)
class TableRow:
    """What the table says of an attempt: the operator's amount (`cost`) and the payer's, in nano-dollars."""

    estimated: bool
    cost: int
    charged: int

    def takes(self, *, estimated: bool) -> bool:
        """Whether it waits for such a row: an estimate gives way to the true usage, and nothing else gives way."""
        return self.estimated and not estimated


def as_numbers(row: TableRow | None) -> Call:
    """How a script is given what the table has: -1 for no row."""
    return {"in_table": row.cost if row else -1, "charged_in_table": row.charged if row else 0}


@dataclass(frozen=True, slots=True)
class Flight(NamedAttempt):
    """An attempt under way. `hold` is in nano-dollars, `admitted_at` in microseconds since the epoch; `facts` is the
    JSON of what the row will say of the call, whatever becomes of the attempt."""

    request_id: str
    attempt: int
    user_id: int
    day: str
    admitted_at: int
    provider: str
    model: str
    hold: int
    facts: str

    def as_call(self, *, in_table: TableRow | None) -> Call:
        """`in_table` is the table's estimate of it: the attempts of a process that is taken for dead are settled."""
        return {
            "request": self.request_id,
            "attempt": self.attempt,
            "user": self.user_id,
            "day": self.day,
            **as_numbers(in_table),
            # As text: JSON numbers of this size do not survive Lua.
            "admitted_at": str(self.admitted_at),
            "provider": self.provider,
            "model": self.model,
            "hold": self.hold,
            "row": self.facts,
        }


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended: its two amounts in nano-dollars, and what its row says beside the facts of the flight.

    `cost` is the operator's amount: what the provider billed, or a safe bound of it. `charged` is the payer's amount:
    the same, or 0 for an answer that the payer cannot use. `user_budget` is the user's daily amount, or None: it bounds
    what is waived in a day, and what a late truth may still charge. `unsent`: it is known never to have reached a
    provider. `counted`: the message counts.
    """

    cost: int = 0
    charged: int = 0
    user_budget: int | None = None
    says: Call | None = None
    estimated: bool = False
    counted: bool = False
    unsent: bool = False

    def as_call(self, flight: Flight, *, lost: bool = False, in_table: TableRow | None = None) -> Call:
        """`lost`: Redis came back knowing neither hold nor row; `in_table` is the table's estimate of it."""
        return {
            "request": flight.request_id,
            "attempt": flight.attempt,
            "user": flight.user_id,
            "day": flight.day,
            "admitted_at": str(flight.admitted_at),
            "cost": self.cost,
            "charged": self.charged,
            "user_budget": -1 if self.user_budget is None else self.user_budget,
            "row": self.row(flight),
            "estimated": self.estimated,
            "counted": self.counted,
            "unsent": self.unsent,
            "lost": lost,
            **as_numbers(in_table),
        }

    def row(self, flight: Flight) -> str:
        """The row as it travels: see `ledger`."""
        row = {
            **orjson.loads(flight.facts),
            "attempt": flight.attempt,
            "provider": flight.provider,
            "model": flight.model,
            "cost": str(self.cost),
            "created_us": str(flight.admitted_at),
            "estimated": self.estimated,
            "counted": self.counted,
            **(self.says or {}),
        }
        return orjson.dumps(row).decode()


def cut_short(flight: Flight, why: str) -> End:
    """The end of an attempt that this process breaks off: its whole hold for the operator, and nothing for the payer,
    who gets no usable answer."""
    says = {"error_flag": True, "error_message": why}
    return End(cost=flight.hold, says=says, estimated=True, counted=True)


UNSENT = End(says={"error_flag": True, "error_message": "unsent"}, unsent=True)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An end that Redis took, kept until the table has its row."""

    stream_id: str
    flight: Flight
    end: End


@dataclass(frozen=True, slots=True)
class Hold(NamedAttempt):
    """An attempt as Redis holds it, in the name of a process."""

    process: str
    request_id: str
    attempt: int
    amount: int
    user_id: int
    day: str

    @classmethod
    def parse(cls, process: str, field: str, record: str) -> "Hold":
        request_id, _, attempt = field.partition(":")
        parts = orjson.loads(record)
        return cls(process, request_id, int(attempt), int(parts["hold"]), int(parts["user"]), parts["day"])
