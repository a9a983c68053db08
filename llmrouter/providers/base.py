"""What a dialect is: how to ask a provider, and what its answers and its faults mean."""

from typing import Protocol

from ..types import Reply, Upstream
from .registry import Connection, Key


class Dialect(Protocol):
    def complete(self, connection: Connection, key: Key, call: Upstream) -> Reply:
        """One whole answer. Raises `TryAnotherRoute`, `Declined` or `PromptTooLong`."""
        ...
