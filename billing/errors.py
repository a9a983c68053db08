"""What can stand between somebody and a tier.

BillingError
├── NotForSale                  free, on quote, unknown
├── TierOnQuote                 holds a tier that has no price to convert by
├── TierHasNoEnd                holds this tier, or a higher one, without an end
├── Undecided                   money that has no use beside the tier held: a person decides
├── AlreadyPaid                 the open checkout turns out to be paid: nothing more to buy
├── CheckoutBeingOpened         the same person's other click is still at it
├── NothingToCancel
├── NotRefundable               was not paid, or is refunded already
├── BadSignature                a webhook that Chargily did not sign
├── UnreadableEvent             signed, but not JSON
├── EventNotApplied             stored, but what it is about could not be settled: to be sent again
└── PaymentsTrouble             no payment can be made now, or not with this answer
    ├── PaymentsNotConfigured   no secret key
    └── GatewayError            what Chargily did; `code` is what our table says of it
        ├── Unreachable         no connection, a time-out, a cut
        ├── Busy                429
        ├── KeyRefused          401, 403
        ├── NoSuchCheckout      404
        ├── Rejected            422 and other 4xx: it found fault with what we sent
        ├── Broken              5xx
        └── Unreadable          not JSON, or not a checkout that we would trust
"""


class BillingError(Exception):
    pass


class NotForSale(BillingError):
    def __init__(self, tier: str) -> None:
        super().__init__(tier)
        self.tier = tier


class TierOnQuote(BillingError):
    def __init__(self, tier: str) -> None:
        super().__init__(tier)
        self.tier = tier


class TierHasNoEnd(BillingError):
    def __init__(self, tier: str) -> None:
        super().__init__(tier)
        self.tier = tier


class Undecided(BillingError):
    def __init__(self, tier: str) -> None:
        super().__init__(tier)
        self.tier = tier


class AlreadyPaid(BillingError):
    def __init__(self, tier: str) -> None:
        super().__init__(tier)
        self.tier = tier


class CheckoutBeingOpened(BillingError):
    pass


class NothingToCancel(BillingError):
    pass


class NotRefundable(BillingError):
    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class BadSignature(BillingError):
    pass


class UnreadableEvent(BillingError):
    pass


class EventNotApplied(BillingError):
    pass


class PaymentsTrouble(BillingError):
    pass


class PaymentsNotConfigured(PaymentsTrouble):
    pass


class GatewayError(PaymentsTrouble):
    """Of Chargily's answer only the status and the names of the fields at fault are kept."""

    kind = "gateway_error"

    def __init__(self, detail: str | int = "") -> None:
        super().__init__(detail)
        self.code = f"{self.kind} ({detail})"[:64] if detail else self.kind


class Unreachable(GatewayError):
    kind = "unreachable"


class Busy(GatewayError):
    kind = "busy"

    def __init__(self, retry_after: int) -> None:
        super().__init__(429)
        self.retry_after = retry_after


class KeyRefused(GatewayError):
    kind = "key_refused"


class NoSuchCheckout(GatewayError):
    kind = "no_such_checkout"


class Rejected(GatewayError):
    kind = "rejected"


class Broken(GatewayError):
    kind = "broken"


class Unreadable(GatewayError):
    kind = "unreadable"
