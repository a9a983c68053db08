"""What a dialect is: how to ask a provider, and what its answers and its faults mean."""

from collections.abc import Generator, Iterable
from typing import Protocol

from ..errors import RouterError
from ..types import Piece, Reply, Upstream
from .registry import Connection, Key


class Dialect(Protocol):
    def complete(self, connection: Connection, key: Key, call: Upstream) -> Reply:
        """One whole answer. Raises `TryAnotherRoute`, `Declined` or `PromptTooLong`."""
        ...

    def stream(self, connection: Connection, key: Key, call: Upstream) -> Generator[list[Piece], None, None]:
        """The same in pieces, as they come. Closing it hangs up on the provider."""
        ...


def until_trouble(pieces: Iterable[Piece]) -> tuple[list[Piece], RouterError | None]:
    """The pieces up to an error that came in one packet with them: they were said, and may be billed."""
    found: list[Piece] = []
    try:
        # Not `extend`, which would forget them.
        for piece in pieces:
            found.append(piece)  # noqa: PERF402
    except RouterError as trouble:
        return found, trouble
    return found, None
