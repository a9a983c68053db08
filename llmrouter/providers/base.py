"""What a dialect is: how to ask a provider, and what its answers and its faults mean."""

from collections.abc import Generator
from typing import Protocol

from ..types import Piece, Reply, Upstream
from .registry import Connection, Key


class Dialect(Protocol):
    def complete(self, connection: Connection, key: Key, call: Upstream) -> Reply:
        """One whole answer. Raises `TryAnotherRoute`, `Declined` or `PromptTooLong`."""
        ...

    def stream(self, connection: Connection, key: Key, call: Upstream) -> Generator[list[Piece], None, None]:
        """The same in pieces, as they come. Closing it hangs up on the provider."""
        ...
