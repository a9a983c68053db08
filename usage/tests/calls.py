"""Calls for the tests of the ledger: what is asked, and the way through one attempt."""

from uuid import uuid4

from billing.entitlements import Entitlement
from billing.money import NANO
from usage.admission import Asked, Offer, Ticket, Usage

PRO = Entitlement("pro", 20, 400, 15, 0, NANO)
WEALTHY = Entitlement("enterprise", 30, 100_000, 100_000, 0, None)
STUDENT = Entitlement("student", 10, 200, 1000, 85, 10 * NANO)
FREE = Entitlement("free", 0, 3, 5, 100, 0)

# A call of 0.02 USD: 2000 tokens of output at 10 USD per million, and nothing for the input.
GOOD = Offer("openrouter", "openai/gpt-4o", 2000, ceiling=20_000_000, output=10 * NANO, min_tokens=256)
CHEAP = Offer("groq", "openai/gpt-oss-120b", 2000)


def ask(entitlement: Entitlement = PRO, *, user: int = 1, offers: tuple[Offer, ...] = (GOOD, CHEAP)) -> Asked:
    return Asked(
        request_id=str(uuid4()),
        user_id=user,
        entitlement=entitlement,
        offers=offers,
        cheap_from=len([offer for offer in offers if offer.ceiling]),
        eligible=any(offer.ceiling for offer in offers),
        endpoint="/api/v2/chat",
        requested_model="gpt-4o",
    )


def spend(ticket: Ticket, cost: int) -> None:
    with ticket.attempt(ticket.start) as attempt:
        attempt.settle(Usage(10, 20, cost, cost, "stop"))
