"""What really happened, as the state machine knows it and the ledger must come to say. It asks the product nothing."""

from dataclasses import dataclass, field
from datetime import date

from billing.entitlements import Entitlement
from usage.admission import Attempt, Offer, Ticket
from usage.process import Process

from .calls import CHEAP, GOOD

# What is there to be spent in a day, of all and of one, in nano-dollars; and who may how much.
BUDGET = 100_000_000
OWN = 60_000_000
FEW = Entitlement("free", 0, 4, 3, 100, 0)
SOME = Entitlement("student", 10, 12, 6, 50, OWN)
MANY = Entitlement("enterprise", 30, 100_000, 100_000, 0, None)
TIERS = {1: FEW, 2: SOME, 3: SOME, 4: MANY}
LANES: dict[str, tuple[Offer, ...]] = {"paid": (GOOD, CHEAP), "two paid": (GOOD, GOOD, CHEAP), "free": (CHEAP,)}


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
    # Whether the caller can use the answer: else it is not charged.
    usable: bool = True
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
    # Attempts that were settled in the name of a process that was taken for dead.
    swept: set[tuple[str, int]] = field(default_factory=set)
