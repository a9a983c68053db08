"""Limits on routes that guess or farm accounts, by network address and by account (django-ratelimit)."""

import ipaddress
import re
import unicodedata
from functools import cache

from django.conf import settings
from django.http import HttpRequest
from django_ratelimit.core import get_usage

from .errors import TooManyAttempts
from .models import normal_email

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# So many network addresses have to guess at once before an account's owner is kept out too.
ADDRESSES_PER_ACCOUNT = 5


def limit_attempts(
    request: HttpRequest, group: str, rate: str, *, account: str | None = None, account_rate: str | None = None
) -> None:
    """Count this attempt for its address, and for `account` if given (which may have a rate of its own); raise once
    either is over."""
    count_attempt(request, group, rate, key=f"address:{client_address(request)}")
    if account:
        count_attempt(request, group, account_rate or rate, key=f"account:{account}")


def limit_logins(request: HttpRequest, *, username: str) -> None:
    """Count a guess at a password: for its network address, and for the account however its name is spelled."""
    # Django's login form folds and strips names in this way before it looks them up.
    account = normal_email(unicodedata.normalize("NFKC", username))
    count, _, period = settings.LOGIN_LIMIT.partition("/")
    account_rate = f"{int(count) * ADDRESSES_PER_ACCOUNT}/{period}"
    limit_attempts(request, "login", settings.LOGIN_LIMIT, account=account, account_rate=account_rate)


def count_attempt(request: HttpRequest, group: str, rate: str, *, key: str, increment: bool = True) -> None:
    """Raise `TooManyAttempts` when `key` has used up `rate` ("10/h"); with `increment` this one counts."""
    usage = get_usage(request, group=group, key=lambda _group, _request: key, rate=rate, increment=increment)
    if usage is None:
        return
    spent = usage["count"] + (0 if increment else 1)
    if usage["should_limit"] or spent > usage["limit"]:
        raise TooManyAttempts(usage["time_left"])


def client_address(request: HttpRequest) -> str:
    """The network address that limits count: the nearest one that is not a trusted proxy; "unknown" where the socket
    has none. IPv6 by its /64, because one subscriber has a whole /64.

    Each proxy appends to X-Forwarded-For whom it was called by, so the header is read from its end. Where it cannot be
    read, the nearest readable address counts: what stands further to the left may be the caller's own invention.
    """
    hops = request.headers.get("X-Forwarded-For", "").split(",")
    nearest: Address | None = None
    for hop in (request.META.get("REMOTE_ADDR", ""), *reversed([hop for hop in hops if hop.strip()])):
        address = parse_address(hop)
        if address is None:
            break
        nearest = address
        if not any(address in network for network in _trusted(settings.TRUSTED_PROXIES)):
            break
    return "unknown" if nearest is None else limit_key(nearest)


def limit_key(address: Address) -> str:
    if address.version == 6:
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)


def parse_address(text: str) -> Address | None:
    """An address as proxies write it: with or without a port, brackets, quotes or a zone; None for anything else."""
    text = text.strip().strip('"')
    # Azure's gateway, IIS and some HAProxy set-ups append the port: 105.1.2.3:4711, [2001:db8::1]:4711.
    if found := re.fullmatch(r"\[([^\]]+)\](?::\d{1,5})?|(\d+\.\d+\.\d+\.\d+):\d{1,5}", text):
        text = found[1] or found[2]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # As a socket for both kinds names an IPv4 address: all of these would be one /64.
    return getattr(address, "ipv4_mapped", None) or address


@cache
def _trusted(proxies: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(proxy, strict=False) for proxy in proxies)
