"""The beginning of a purchase: our pending payment, then Chargily's checkout, or the one that is open already."""

import logging
import time
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from . import offers, settlement
from .errors import AlreadyPaid, CheckoutBeingOpened, GatewayError, Unreadable
from .gateways import Chargily, Order, the_gateway
from .gateways.chargily import CHECKOUT_ID
from .models import PaymentTransaction
from .models.payments import OPEN_FOR
from .subscriptions import Quote, Terms

logger = logging.getLogger(__name__)

# A checkout with less left is not worth being sent to.
LEAST_LEFT = timedelta(seconds=30)
# Longer than a call to Chargily can take: what still has no checkout was begun by a process that died.
ABANDONED_AFTER = timedelta(seconds=30)
FIRST_CHECK_AFTER = timedelta(minutes=1)
LOOK_AGAIN_AFTER = timedelta(seconds=5)
# Some 16 seconds for the other click to have its checkout.
LOOKS = 80
BETWEEN_LOOKS_SECONDS = 0.2

Kind = PaymentTransaction.Status


def subscribe(*, user_id: int, tier: str, language: str) -> PaymentTransaction:
    """A payment with an open checkout. Raises what `offers.quote` raises, `AlreadyPaid`, `PaymentsTrouble`."""
    gateway = the_gateway()
    quote = offers.quote(user_id=user_id, tier=tier)
    price = quote.amount_dzd
    for _ in range(LOOKS):
        begun = _begin(user_id, quote, language)
        if begun is not None:
            return _open(gateway, begun)
        existing = PaymentTransaction.objects.handed_out(user_id=user_id, tier=tier, amount_dzd=price)
        if existing is not None and _may_be_handed_out(existing):
            _accept(existing, quote.terms)
            return existing
    raise CheckoutBeingOpened


def payment_of(*, user_id: int, checkout_id: str) -> PaymentTransaction | None:
    """Somebody's own payment; `checkout_id` is whatever stood in an address (Chargily may even write `null`)."""
    if not CHECKOUT_ID.fullmatch(checkout_id):
        return None
    return PaymentTransaction.objects.filter(user_id=user_id, checkout_id=checkout_id).first()


def look(payment: PaymentTransaction) -> None:
    """The customer asks what became of it: ask Chargily, once in a while, and settle. Its troubles change nothing."""
    if payment.status not in PaymentTransaction.OPEN_TO_MONEY or payment.checkout_id is None:
        return
    if not PaymentTransaction.objects.claim_look(payment, at_most_every=LOOK_AGAIN_AFTER):
        return
    try:
        settlement.settle(payment)
    except GatewayError as error:
        logger.warning("Error: payment %s could not be asked after: %s", payment.pk, error.code)


def can_go_on(payment: PaymentTransaction) -> bool:
    """Whether its checkout can still be paid. Chargily is asked, as often as `look` does; `payment` is up to date."""
    now, live = timezone.now(), settings.CHARGILY_MODE == "live"
    open_by_our_clock = now < payment.closes_at - LEAST_LEFT and payment.livemode == live
    if payment.status != Kind.PENDING or not payment.checkout_url or not open_by_our_clock:
        return False
    if not settings.CHARGILY_SECRET_KEY:
        return False
    look(payment)
    return bool(payment.status == Kind.PENDING)


def _accept(payment: PaymentTransaction, terms: Terms) -> None:
    """The same checkout at another click: the customer saw the terms of now, not those of the first click."""
    PaymentTransaction.objects.filter(pk=payment.pk, status=Kind.PENDING).update(
        gives_way=terms.gives_way, gives_way_endless=terms.replaces_endless
    )


def _begin(user_id: int, quote: Quote, language: str) -> PaymentTransaction | None:
    """Our own row first, committed: whatever happens next, there is something to find. None: there is one already."""
    now = timezone.now()
    try:
        # Two clicks at once: the constraint lets one of them begin, and the other is handed the same checkout.
        with transaction.atomic():
            return PaymentTransaction.objects.create(
                user_id=user_id,
                tier_id=quote.terms.tier,
                amount_dzd=quote.amount_dzd,
                days=quote.days,
                gives_way=quote.terms.gives_way,
                gives_way_endless=quote.terms.replaces_endless,
                language=language,
                livemode=settings.CHARGILY_MODE == "live",
                created_at=now,
                next_check_at=now + OPEN_FOR,
            )
    except IntegrityError as error:
        if "payment_transactions_one_open_checkout" in str(error):
            return None
        raise


def _open(gateway: Chargily, payment: PaymentTransaction) -> PaymentTransaction:
    try:
        checkout = gateway.open(_order(payment))
        if settlement.differs_from_order(payment, checkout):
            raise Unreadable("another_order")
        with transaction.atomic():
            kept = PaymentTransaction.objects.filter(pk=payment.pk, status=Kind.PENDING).update(
                checkout_id=checkout.id,
                checkout_url=checkout.url,
                next_check_at=timezone.now() + FIRST_CHECK_AFTER,
            )
    except GatewayError as error:
        _fail(payment, error.code)
        logger.error("Error: payment %s: no checkout: %s", payment.pk, error.code)
        raise
    except IntegrityError as error:
        _fail(payment, "checkout_id_taken")
        raise Unreadable("checkout_id_taken") from error
    if not kept:
        # It took so long that another click gave it up.
        raise CheckoutBeingOpened
    payment.refresh_from_db()
    return payment


def _fail(payment: PaymentTransaction, code: str) -> None:
    PaymentTransaction.objects.filter(pk=payment.pk, status=Kind.PENDING).update(
        status=Kind.FAILED, failure_code=code, next_check_at=None
    )


def _may_be_handed_out(payment: PaymentTransaction) -> bool:
    """Whether its checkout is still open; if not it is closed here, so that the next try begins another."""
    now = timezone.now()
    if payment.checkout_id is None:
        if now > payment.created_at + ABANDONED_AFTER:
            _fail(payment, "abandoned")
        else:
            time.sleep(BETWEEN_LOOKS_SECONDS)
        return False
    of_this_mode = payment.livemode == (settings.CHARGILY_MODE == "live")
    if of_this_mode:
        look(payment)
    if payment.status == Kind.PAID:
        raise AlreadyPaid(payment.tier_id)
    if payment.status == Kind.PENDING and (now > payment.closes_at - LEAST_LEFT or not of_this_mode):
        # By our own clock; should it be paid in its last seconds all the same, that wins. Or it is of test mode, and
        # this is no longer.
        PaymentTransaction.objects.filter(pk=payment.pk, status=Kind.PENDING).update(status=Kind.EXPIRED)
        return False
    return payment.status == Kind.PENDING


def _order(payment: PaymentTransaction) -> Order:
    return Order(
        reference=str(payment.pk),
        amount_dzd=payment.amount_dzd,
        description=f"IA Factory {payment.tier_id}, {payment.days} jours",
        language=payment.language,
        success_url=f"{settings.FRONTEND_URL.rstrip('/')}/payment/success",
        failure_url=f"{settings.FRONTEND_URL.rstrip('/')}/payment/failure",
        webhook_url=_webhook_url(),
    )


def _webhook_url() -> str | None:
    """None where Chargily could not reach it and may refuse to try: a laptop, with the real Chargily."""
    if _is_local(settings.API_URL) and not _is_local(settings.CHARGILY_BASE_URL):
        return None
    return f"{settings.API_URL.rstrip('/')}/payment/webhook/chargily"


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
