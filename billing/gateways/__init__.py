"""Those who take the money. One file each; the rest of billing knows only `base`."""

from .base import Checkout, Gateway, Order
from .chargily import Chargily, the_gateway

__all__ = ["Chargily", "Checkout", "Gateway", "Order", "the_gateway"]
