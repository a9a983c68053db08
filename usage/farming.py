"""Accounts that look like many of one person, made for the free messages: scored, and shown to staff, who decide.

An address alone says little here, for whole towns share one (mobile networks), so it counts little; what counts is a
mailbox used twice, an address made to be thrown away, and accounts that behave alike. Nobody is refused by a score.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from disposable_email_domains import blocklist
from django.db.models import Count
from django.utils import timezone

from accounts.models import SignUp
from accounts.sign_ups import DAY, mailbox_of
from billing.entitlements import free_messages_per_day

from .models import UsageLog

# Scored again for this long, while behaviour comes in.
YOUNG = timedelta(days=7)
SUSPECT = 50
MOST = 100

# Reasons, and the points of each.
SAME_MAILBOX, DISPOSABLE, TWINS, EMPTIED_AT_ONCE, RANDOM_NAME, TAGGED = 50, 40, 30, 20, 15, 10
# Of one address within a day: the first few are a family, each further one adds a little.
FAMILY, PER_NEIGHBOUR, MOST_FOR_NEIGHBOURS = 3, 4, 32
# "At once": the whole free quota in this long after the sign-up.
HURRY = timedelta(minutes=10)
# Two accounts behave alike when this many calls agree in their hour and size.
ALIKE = 3


@dataclass(slots=True)
class Evidence:
    """What is held against one account, each reason with its points and its number."""

    points: int = 0
    reasons: list[list[object]] = field(default_factory=list)

    def add(self, reason: str, points: int, number: int = 1) -> None:
        self.points += points
        self.reasons.append([reason, number])


def score_sign_ups(now: datetime | None = None) -> int:
    """Score the accounts of the last days; how many are suspect."""
    now = now or timezone.now()
    young = list(SignUp.objects.filter(created_at__gt=now - YOUNG).select_related("user").order_by("created_at"))
    calls = calls_of([sign_up.user_id for sign_up in young], now - YOUNG)
    neighbours, mailboxes, twins = neighbours_of(young), accounts_per_mailbox(young), twins_of(young, calls)
    quota = free_messages_per_day()
    for sign_up in young:
        evidence = evidence_of_name(sign_up.user.email)
        user_id = sign_up.user_id
        if (number := mailboxes.get(sign_up.mailbox_digest, 1)) > 1:
            evidence.add("same_mailbox", SAME_MAILBOX, number)
        if (crowd := neighbours[user_id]) > FAMILY:
            evidence.add("same_address", min(MOST_FOR_NEIGHBOURS, PER_NEIGHBOUR * (crowd - FAMILY)), crowd)
        if emptied_at_once(sign_up, calls[user_id], quota):
            evidence.add("emptied_at_once", EMPTIED_AT_ONCE, quota)
        if number := twins[user_id]:
            evidence.add("twins", TWINS, number)
        sign_up.score, sign_up.reasons = min(MOST, evidence.points), evidence.reasons
    SignUp.objects.bulk_update(young, ["score", "reasons"], batch_size=500)
    return sum(sign_up.score >= SUSPECT for sign_up in young)


# The name


def evidence_of_name(email: str) -> Evidence:
    evidence = Evidence()
    local, _, domain = email.rpartition("@")
    if is_disposable(domain):
        evidence.add("disposable", DISPOSABLE)
    if "+" in local:
        evidence.add("tagged", TAGGED)
    if looks_random(mailbox_of(email).partition("@")[0]):
        evidence.add("random_name", RANDOM_NAME)
    return evidence


def is_disposable(domain: str) -> bool:
    """It, or a domain above it, is known to be for throwing away."""
    parts = domain.split(".")
    return any(".".join(parts[start:]) in blocklist for start in range(len(parts) - 1))


def looks_random(name: str) -> bool:
    """No person's name: digits among letters (x7k2q9), or a long row of consonants (bcdfghjk)."""
    turns = len(re.findall(r"[a-z]\d|\d[a-z]", name))
    consonants = max((len(run) for run in re.findall(r"[bcdfghjklmnpqrstvwxz]+", name)), default=0)
    return len(name) >= 6 and (turns >= 4 or consonants >= 6)


# The neighbours


def neighbours_of(young: Iterable[SignUp]) -> dict[int, int]:
    """How many accounts, itself included, the same network address made within a day of each."""
    times: dict[str, list[datetime]] = defaultdict(list)
    sign_ups = list(young)
    for sign_up in sign_ups:
        times[sign_up.address_digest].append(sign_up.created_at)
    return {
        sign_up.user_id: sum(abs(other - sign_up.created_at) <= DAY for other in times[sign_up.address_digest])
        if sign_up.address_digest
        else 1
        for sign_up in sign_ups
    }


def accounts_per_mailbox(young: Iterable[SignUp]) -> dict[str, int]:
    """Old accounts count too: the second one of a mailbox is suspect whenever the first was made."""
    digests = {sign_up.mailbox_digest for sign_up in young}
    rows = SignUp.objects.filter(mailbox_digest__in=digests).values("mailbox_digest").annotate(accounts=Count("pk"))
    return {row["mailbox_digest"]: row["accounts"] for row in rows}


# The behaviour


@dataclass(frozen=True, slots=True)
class Call:
    at: datetime
    tokens_input: int

    @property
    def likeness(self) -> tuple[datetime, int]:
        """Two calls with this in common were made in one hour with prompts of one length."""
        return self.at.replace(minute=0, second=0, microsecond=0), self.tokens_input


def calls_of(user_ids: list[int], since: datetime) -> dict[int, list[Call]]:
    rows = UsageLog.objects.filter(user_id__in=user_ids, created_at__gt=since, attempt=1, tier="free")
    found: dict[int, list[Call]] = defaultdict(list)
    for user_id, at, tokens in rows.order_by("created_at").values_list("user_id", "created_at", "tokens_input"):
        found[user_id].append(Call(at, tokens))
    return found


def emptied_at_once(sign_up: SignUp, calls: list[Call], quota: int) -> bool:
    return 0 < quota <= sum(call.at - sign_up.created_at <= HURRY for call in calls)


def twins_of(young: Iterable[SignUp], calls: dict[int, list[Call]]) -> dict[int, int]:
    """For each account, how many others of its network address make the same calls in the same hours."""
    by_address: dict[str, list[int]] = defaultdict(list)
    for sign_up in young:
        if sign_up.address_digest and calls[sign_up.user_id]:
            by_address[sign_up.address_digest].append(sign_up.user_id)
    found: dict[int, int] = defaultdict(int)
    for users in by_address.values():
        for one, other in alike_pairs(users, calls):
            found[one] += 1
            found[other] += 1
    return found


def alike_pairs(users: list[int], calls: dict[int, list[Call]]) -> Iterator[tuple[int, int]]:
    # By what they share, not pair by pair: an address of a mobile network may have thousands of accounts.
    holders: dict[tuple[datetime, int], set[int]] = defaultdict(set)
    for user_id in users:
        for call in calls[user_id]:
            holders[call.likeness].add(user_id)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for crowd in holders.values():
        ordered = sorted(crowd)[:50]
        for place, one in enumerate(ordered):
            for other in ordered[place + 1 :]:
                shared[one, other] += 1
    return (pair for pair, number in shared.items() if number >= ALIKE)
