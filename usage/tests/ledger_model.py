"""What really happened, as the state machine knows it and the ledger must come to say. It asks the product nothing."""

from dataclasses import dataclass, field
from datetime import date

from usage.admission import Attempt, Ticket
from usage.process import Process


@dataclass
class Truth:
    """An attempt as the provider knows it. `cost` is what it bills, once it does."""

    request: str
    attempt: int
    user: int
    day: date
    hold: int
    cost: int | None = None
    # It was never sent, but Redis heard of that too late or never: a row, of what was held at most, may tell of it.
    unsent: bool = False
    # Since the operator last began the counter again.
    since_reset: bool = True


@dataclass
class Call:
    """An admitted call under way, in the hands of one process."""

    process: Process
    ticket: Ticket
    place: int
    attempt: Attempt
    truth: Truth | None
    swept: bool = False


@dataclass
class Asked:
    user: int
    day: date
    at: int
    counts: bool = True
    # Its process died over it: nobody knows what left of it.
    orphan: bool = False


@dataclass
class Model:
    truths: list[Truth] = field(default_factory=list)
    asked: dict[str, Asked] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    resets: set[date] = field(default_factory=set)
