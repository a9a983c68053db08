"""The audit can fail: whole books pass, and each broken ledger is told."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from .books import Billed, Books, Counters, Limits, Row, audit

DAY = date(2026, 11, 22)
EXACT = Row("m1", "r1", 1, 1, "openrouter", 300, 300, False, False, True, DAY)
ESTIMATE = Row("m2", "r2", 1, 1, "openrouter", 500, 500, False, True, True, DAY)
REFUSED = Row("m3", "r3", 1, 2, "openrouter", 0, 0, True, False, False, DAY)
FREE = Row("m3", "r3", 2, 2, "groq", 0, 0, False, False, True, DAY)
# The provider may have billed it, and the customer could not use it.
UNUSABLE = replace(ESTIMATE, charged=0, failed=True)


def whole() -> Books:
    return Books(
        budget=1000,
        limits={1: Limits(900, 3), 2: Limits(None, 3)},
        billed=[
            Billed("m1", "openrouter", 300, 1.0),
            Billed("m2", "openrouter", 450, 2.0),
            Billed("m3", "openrouter", 0, 3.0),
            Billed("m3", "groq", 0, 4.0),
        ],
        rows=[EXACT, ESTIMATE, REFUSED, FREE],
        counters=Counters(
            spent={DAY: 800},
            held={DAY: 0},
            spent_by={(DAY, 1): 800},
            held_by={(DAY, 1): 0},
            messages={(DAY, 1): 2, (DAY, 2): 1},
        ),
        peak=950,
    )


def test_whole_books_pass() -> None:
    assert audit(whole()) == []


def test_a_dead_process_may_leave_an_estimate_of_a_call_that_never_went_out() -> None:
    books = whole()
    books.billed = [call for call in books.billed if call.marker != "m2"]
    assert audit(books) == []


def test_an_unusable_answer_is_not_charged() -> None:
    books = whole()
    books.rows, books.counters.spent_by = [EXACT, UNUSABLE, REFUSED, FREE], {(DAY, 1): 300}
    books.limits[1] = Limits(300, 3)
    assert audit(books) == []


def rows(*changed: Row) -> Callable[[Books], None]:
    return lambda books: setattr(books, "rows", list(changed))


def counted(name: str, value: object) -> Callable[[Books], None]:
    return lambda books: setattr(books.counters, name, value)


BROKEN: dict[str, tuple[Callable[[Books], None], str]] = {
    "a lost row": (rows(ESTIMATE, REFUSED, FREE), "the rows say []"),
    "a row twice": (rows(EXACT, replace(EXACT, attempt=2), ESTIMATE, REFUSED, FREE), "the rows say"),
    "a nano-dollar less": (rows(replace(EXACT, cost=299), ESTIMATE, REFUSED, FREE), "the rows say"),
    "a nano-dollar more": (rows(replace(EXACT, cost=301), ESTIMATE, REFUSED, FREE), "the rows say"),
    "an estimate below the truth": (rows(EXACT, replace(ESTIMATE, cost=449), REFUSED, FREE), "the rows say"),
    "the wrong provider": (rows(EXACT, ESTIMATE, REFUSED, replace(FREE, provider="x")), "billed [0] for m3"),
    "over the budget": (lambda books: setattr(books, "budget", 740), "of a budget of 740"),
    "over the user's budget": (lambda books: books.limits.update({1: Limits(740, 3)}), "user 1 was charged 800"),
    "a usable answer given away": (
        rows(replace(EXACT, charged=0), ESTIMATE, REFUSED, FREE),
        "m1: charged 0 for a cost",
    ),
    "an answer half charged": (rows(replace(UNUSABLE, charged=1), EXACT, REFUSED, FREE), "m2: charged 1 for a cost"),
    "over it for an instant": (lambda books: setattr(books, "peak", 1001), "came to 1001"),
    "the counter drifts": (counted("spent", {DAY: 799}), "the counter says 799"),
    "the counter is gone": (counted("spent", {}), "the counter says None"),
    "the user's counter drifts": (counted("spent_by", {(DAY, 1): 801}), "the user's counter says 801"),
    "a message given back twice": (counted("messages", {(DAY, 1): 1, (DAY, 2): 1}), "says 1 messages, the table 2"),
    "a message never given back": (counted("messages", {(DAY, 1): 2, (DAY, 2): 2}), "says 2 messages, the table 1"),
    "over the quota": (lambda books: books.limits.update({1: Limits(900, 1)}), "2 messages of 1"),
    "a hold that stays": (counted("held", {DAY: 7}), "7 still held"),
    "a user's hold that stays": (counted("held_by", {(DAY, 1): 7}), "7 still held for a user"),
    "a hold of nobody": (counted("holds", 1), "1 holds that nobody settled"),
    "a row that stays in Redis": (counted("waiting", 1), "1 rows that did not reach the table"),
    "a dead letter": (lambda books: setattr(books, "dead_letters", 1), "1 rows that were dead-lettered"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_ledger_is_told(name: str) -> None:
    books = whole()
    damage, sentence = BROKEN[name]
    damage(books)
    assert any(sentence in violation for violation in audit(books)), audit(books)
