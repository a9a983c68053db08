"""The stand-in's books against ours. `audit` tells every way in which they disagree, or break a promise."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import permutations


@dataclass(frozen=True, slots=True)
class Billed:
    """A call that arrived at the provider, and what it billed, in nano-dollars. `marker` is the caller's own id."""

    marker: str
    provider: str
    cost: int
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """A row of `llm_usage_logs`. `cost` is the operator's amount, `charged` the customer's, in nano-dollars."""

    marker: str
    request_id: str
    attempt: int
    user_id: int
    provider: str
    cost: int
    charged: int
    failed: bool
    estimated: bool
    counted: bool
    day: date


@dataclass
class Counters:
    """What Redis says, in nano-dollars and messages, after everything has settled."""

    spent: dict[date, int] = field(default_factory=dict)
    held: dict[date, int] = field(default_factory=dict)
    # What users were charged.
    spent_by: dict[tuple[date, int], int] = field(default_factory=dict)
    held_by: dict[tuple[date, int], int] = field(default_factory=dict)
    messages: dict[tuple[date, int], int] = field(default_factory=dict)
    # Requests whose messages are counted and were never answered: a process died over them.
    open: dict[str, tuple[date, int]] = field(default_factory=dict)
    holds: int = 0
    waiting: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one user: nano-dollars a day (None: no limit), and messages a day."""

    budget: int | None
    messages: int


@dataclass
class Books:
    budget: int
    limits: dict[int, Limits]
    billed: Sequence[Billed]
    rows: Sequence[Row]
    counters: Counters
    # The most that was ever seen spent and held together.
    peak: int = 0
    dead_letters: int = 0


def audit(books: Books) -> list[str]:
    """Every violation, as a sentence; empty where the promises hold."""
    return [
        *attempts_and_rows(books.billed, books.rows),
        *charges(books.rows),
        *over_budget(books),
        *counters_against_table(books),
        *quotas(books),
        *left_over(books),
    ]


def attempts_and_rows(billed: Iterable[Billed], rows: Iterable[Row]) -> list[str]:
    """Each attempt has one row: exact, or estimated and then no less than the truth."""
    calls_of, rows_of = defaultdict(list), defaultdict(list)
    for call in billed:
        calls_of[call.marker, call.provider].append(call)
    for row in rows:
        rows_of[row.marker, row.provider].append(row)
    found = []
    for key in calls_of.keys() | rows_of.keys():
        ours = sorted(rows_of[key], key=lambda row: row.attempt)
        if not agree([call.cost for call in calls_of[key]], ours):
            theirs = [call.cost for call in calls_of[key]]
            said = [(row.cost, "estimated" if row.estimated else "exact") for row in ours]
            found.append(f"{key[1]} billed {theirs} for {key[0]}, and the rows say {said}")
    return found


def agree(costs: Sequence[int], rows: Sequence[Row]) -> bool:
    """Whether each cost has a row of its own that tells it; rows beyond them may only be estimates (of a process that
    died before its call went out)."""
    if len(costs) > len(rows):
        return False
    for chosen in permutations(range(len(rows)), len(costs)):
        rest = (row for place, row in enumerate(rows) if place not in chosen)
        if all(tells(rows[p], c) for p, c in zip(chosen, costs, strict=True)) and all(row.estimated for row in rest):
            return True
    return False


def tells(row: Row, cost: int) -> bool:
    return row.cost >= cost if row.estimated else row.cost == cost


def charges(rows: Iterable[Row]) -> list[str]:
    """A customer is charged the cost; nothing only for an answer that failed."""
    return [
        f"{row.marker}: charged {row.charged} for a cost of {row.cost}"
        for row in rows
        if row.charged != row.cost and not (row.failed and row.charged == 0)
    ]


def over_budget(books: Books) -> list[str]:
    """What was billed never passed the budget; nor did spent and held at any instant looked at. What a user was charged
    never passed the daily amount."""
    found = []
    day_of = {row.marker: row.day for row in books.rows}
    by_day: Counter[date] = Counter()
    for call in sorted(books.billed, key=lambda call: call.at):
        if call.marker not in day_of:
            continue  # told by `attempts_and_rows`
        day = day_of[call.marker]
        by_day[day] += call.cost
        if by_day[day] > books.budget:
            found.append(f"{day}: billed {by_day[day]} of a budget of {books.budget} at {call.at:.3f}")
    for (day, user), charged in charged_by_user(books.rows).items():
        limit = books.limits[user].budget
        if limit is not None and charged > limit:
            found.append(f"{day}: user {user} was charged {charged} of {limit}")
    if books.peak > books.budget:
        found.append(f"spent and held came to {books.peak} of a budget of {books.budget}")
    return found


def charged_by_user(rows: Iterable[Row]) -> Counter[tuple[date, int]]:
    found: Counter[tuple[date, int]] = Counter()
    for row in rows:
        found[row.day, row.user_id] += row.charged
    return found


def counters_against_table(books: Books) -> list[str]:
    found = []
    in_table: Counter[date] = Counter()
    for row in books.rows:
        in_table[row.day] += row.cost
    by_user = charged_by_user(books.rows)
    for day, cost in in_table.items():
        if books.counters.spent.get(day) != cost:
            found.append(f"{day}: the counter says {books.counters.spent.get(day)}, the table {cost}")
    said = books.counters.spent_by
    found += [
        f"{key}: the user's counter says {said.get(key, 0)}, the table {by_user[key]}"
        for key in by_user.keys() | said.keys()
        if said.get(key, 0) != by_user[key]
    ]
    return found


def quotas(books: Books) -> list[str]:
    """The counter of messages is what the table counts (and what a dead process left open), and within the quota."""
    found = []
    counted = {(row.request_id, row.day, row.user_id) for row in books.rows if row.counted}
    counted |= {(request, *whose) for request, whose in books.counters.open.items()}
    truth = Counter((day, user) for _request, day, user in counted)
    for key in truth.keys() | books.counters.messages.keys():
        said = books.counters.messages.get(key, 0)
        if said != truth[key]:
            found.append(f"{key}: the quota's counter says {said} messages, the table {truth[key]}")
        if truth[key] > books.limits[key[1]].messages:
            found.append(f"{key}: {truth[key]} messages of {books.limits[key[1]].messages}")
    return found


def left_over(books: Books) -> list[str]:
    counters = books.counters
    found = [f"{day}: {held} still held" for day, held in counters.held.items() if held]
    found += [f"{key}: {held} still held for a user" for key, held in counters.held_by.items() if held]
    for number, what in (
        (counters.holds, "holds that nobody settled"),
        (counters.waiting, "rows that did not reach the table"),
        (counters.unreadable, "records that could not be read"),
        (books.dead_letters, "rows that were dead-lettered"),
    ):
        if number:
            found.append(f"{number} {what}")
    return found
