"""Whether PostgreSQL is away, or only refused one statement: a lock, a timeout or a deadlock is no outage."""

from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from psycopg_pool import PoolTimeout

from .deadline import TooLate, at_most

# SQLSTATE classes and codes that a server sends when it cannot serve anybody: connection lost (08), shutting down,
# crashed or still starting (57P01 to 57P03), database dropped (57P04), its disk fails (58).
OUTAGES = ("08", "57P", "58")
# How long a server may take to greet a new connection and to answer `SELECT 1` on it.
ANSWER_SECONDS = 1.0


def is_away(error: BaseException) -> bool:
    """Whether `error`, raised by a statement, shows that PostgreSQL cannot be reached at all.

    An error with an SQLSTATE was sent by the server, so the server is there. A statement that took too long, or a pool
    without a free connection, says nothing by itself: then the server is asked on a connection of its own.
    """
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if isinstance(error, TooLate) or isinstance(cause, PoolTimeout):
        found = trouble()
        if found is not None:
            # The pool says only that it has no connection. With the reason as its cause, the log says why.
            (cause or error).__cause__ = found
        return found is not None
    if isinstance(cause, psycopg.Error) and cause.sqlstate is not None:
        return cause.sqlstate.startswith(OUTAGES)
    return isinstance(error, OperationalError | InterfaceError)


def trouble() -> Exception | None:
    """Why PostgreSQL cannot be asked; None: it answers. Asks on a new connection, because all connections of the pool
    may be busy with what takes so long."""
    try:
        with at_most(ANSWER_SECONDS), psycopg.connect(**_parameters()) as connection:
            connection.execute("SELECT 1")
    except (psycopg.Error, TooLate) as error:
        return error
    return None


def _parameters() -> dict[str, Any]:
    parameters: dict[str, Any] = connections[DEFAULT_DB_ALIAS].get_connection_params()
    # libpq takes whole seconds, and no fewer than two.
    return {**parameters, "connect_timeout": 2}
