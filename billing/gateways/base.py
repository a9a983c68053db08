"""What billing asks of whoever takes the money."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be paid, in whole dinars, under our own reference."""

    reference: str
    amount_dzd: int
    description: str
    language: str
    success_url: str
    failure_url: str
    webhook_url: str | None


@dataclass(frozen=True, slots=True)
class Checkout:
    """What the gateway says of a checkout. What it left out is None or empty, and then it matches nothing of ours."""

    id: str
    status: str
    amount: Decimal | None
    currency: str
    livemode: bool | None
    url: str
    payment_method: str


class Gateway(Protocol):
    """Every method raises `GatewayError`."""

    def open(self, order: Order) -> Checkout:
        """A new checkout, at whose `url` the customer pays; the url is safe to send a browser to."""
        ...

    def fetch(self, checkout_id: str) -> Checkout: ...

    def try_key(self) -> None:
        """The cheapest call that the key opens."""
        ...
