"""Argon2 off the event loop: under gevent a worker is one thread, and a hash of 20 ms would stop all its streams."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from django.contrib.auth.hashers import Argon2PasswordHasher
from gevent import get_hub
from gevent.monkey import is_module_patched

from .fresh import release_connection

P = ParamSpec("P")
R = TypeVar("R")


class ThreadedArgon2PasswordHasher(Argon2PasswordHasher):
    # OWASP's second choice of parameters: 19 MiB, two passes, one lane.
    memory_cost = 19 * 1024
    time_cost = 2
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return off_the_loop(super().encode, password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        return off_the_loop(super().verify, password, encoded)


def off_the_loop(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run in gevent's thread pool where gevent rules this process, in place elsewhere."""
    if not is_module_patched("threading"):
        return function(*args, **kwargs)
    # It lasts, and others want the connection to the database meanwhile.
    release_connection()
    result: Any = get_hub().threadpool.apply(function, args, kwargs)
    return result  # type: ignore[no-any-return]
