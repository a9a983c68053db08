"""Chargily played by ourselves: for a newcomer's first purchase in the browser, and for the tests over real HTTP.

books     the checkouts, what may be asked of them, and the faults that can be switched on
forms     what Chargily refuses of a new checkout, in its words
server    the API, the hosted page where one pays, fails or cancels, and the webhooks

It never plays in production: `manage.py chargily_standin` refuses, and `make run` starts it in development only.
"""

from .books import Books, Faults
from .server import ChargilyStandIn

__all__ = ["Books", "ChargilyStandIn", "Faults"]
