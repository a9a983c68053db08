"""A change made by the product is in force at the next request, in every process.

A process remembers callers, tiers and models for 5 s (`fresh`). Whoever changes one of them announces it: after the
commit a new token is written where all processes look, one token per user and one for what concerns everyone. A chat
sends the tokens that its process knows along with its admission, and the script admits nothing if one of them differs;
the process then learns the new token, loads again what it remembered, and asks again. Other requests look first.

Within a process "before" and "after" are moments: numbers that grow with each change learned. An entry carries the
moment at which its statement began, so an entry that was loaded while a change was on its way is never taken for newer
than that change. `docs/changes.md` has the order of events and what happens when something fails in between.
"""

import threading
from collections.abc import Collection
from typing import NamedTuple, Protocol

from django.db import transaction

# Of how many users a process knows the last change. One it forgot costs one more round trip.
MOST_USERS = 50_000


class OutOfDate(Exception):
    """Another process changed what this was decided from: load it again, and decide again."""


class Board(Protocol):
    """Where all processes write and read the tokens; `None` stands for what concerns everyone."""

    def read(self, user_id: int | None) -> tuple[str, str] | None:
        """The user's token and everyone's, '' where there is none; None while they cannot be read."""

    def is_blind(self) -> bool:
        """Whether they could not be read a moment ago."""

    def write(self, concerned: Collection[int | None]) -> None:
        """Write a new token for each, then or as soon as possible."""


class Mark(NamedTuple):
    """The last change that this process knows of, and the moment at which it learned of it."""

    token: str = ""
    moment: int = 0


NOTHING = Mark()


class Known:
    """What one process knows of changes."""

    def __init__(self) -> None:
        self.moment = 0
        self.everyone = NOTHING
        self._users: dict[int, Mark] = {}
        self._lock = threading.Lock()

    def of(self, user_id: int | None) -> Mark:
        return self.everyone if user_id is None else self._users.get(user_id, NOTHING)

    def learn(self, user_id: int | None, token: str) -> None:
        """A token that was read or written just now. An empty one says nothing: tokens are kept for an hour only."""
        with self._lock:
            if token and token != self.of(user_id).token:
                self._put(user_id, token)

    def outdate(self, user_id: int | None) -> None:
        """Trust nothing that was loaded up to now."""
        with self._lock:
            self._put(user_id, self.of(user_id).token)

    def _put(self, user_id: int | None, token: str) -> None:
        self.moment += 1
        if user_id is None:
            self.everyone = Mark(token, self.moment)
            return
        self._users.pop(user_id, None)
        self._users[user_id] = Mark(token, self.moment)
        if len(self._users) > MOST_USERS:
            # Its token in Redis then differs from the none that is known here: it is learned once more.
            self._users.pop(next(iter(self._users)))


known = Known()
_board: Board | None = None


def keep_on(board: Board) -> None:
    """Say where the tokens are; done once, by the app that knows Redis."""
    global _board
    _board = board


def now() -> int:
    """The moment to pass as `since`. Take it before anything is read that a decision rests on."""
    return known.moment


def tokens(user_id: int, *, since: int) -> tuple[str, str]:
    """What this process knows about a user and about everyone. Raises `OutOfDate` if it learned more after `since`."""
    own, everyone = known.of(user_id), known.everyone
    if max(own.moment, everyone.moment) > since:
        raise OutOfDate
    return own.token, everyone.token


def learn(user_id: int | None, own: str, everyone: str) -> None:
    if user_id is not None:
        known.learn(user_id, own)
    known.learn(None, everyone)


def look(user_id: int | None, *, even_if_blind: bool = False) -> None:
    """Learn what other processes changed. While the tokens cannot be read, what is remembered is good for its 5 s, and
    is not waited for again at once, unless the caller needs Redis anyway (`even_if_blind`)."""
    if _board is None or (_board.is_blind() and not even_if_blind):
        return
    found = _board.read(user_id)
    if found is not None:
        learn(user_id, *found)


def is_blind() -> bool:
    """Whether Redis did not answer a moment ago: what can do without it need not wait for it again."""
    return _board is not None and _board.is_blind()


def announce_change(*, user_id: int) -> None:
    """Make a change about one user count at the next request in every process, once the transaction commits."""
    _announce(user_id)


def announce_change_for_everyone() -> None:
    """The same for what users have in common: tiers, models, or many users at once."""
    _announce(None)


def _announce(user_id: int | None) -> None:
    # What this transaction itself reads from now on is new.
    known.outdate(user_id)
    # A function of its own: Django names it when it logs what it raised, and a partial has no name.
    transaction.on_commit(lambda: _tell(user_id), robust=True)


def _tell(user_id: int | None) -> None:
    """After the commit. If the process dies before this, the 5 s of `fresh` remain."""
    known.outdate(user_id)
    if _board is not None:
        _board.write([user_id])
