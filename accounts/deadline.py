"""A limit on what no time-out of its own bounds: a query on a server that is frozen, an answer that trickles."""

from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from gevent.monkey import is_module_patched


class TooLate(Exception):
    pass


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `TooLate` inside when the time is up. Only where gevent rules: a thread cannot be interrupted, and there
    the time-outs of sockets and servers have to do."""
    if not is_module_patched("socket"):
        yield
        return
    timer = gevent.Timeout(seconds)
    timer.start()
    try:
        yield
    except gevent.Timeout as expired:
        if expired is not timer:
            raise
        raise TooLate from None
    finally:
        timer.close()
        # It holds the traceback, which holds this frame: a circle, and with it the sockets of whoever was interrupted.
        del timer
