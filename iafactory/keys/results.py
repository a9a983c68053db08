"""What the checks found, kept for the dashboard and the alerts; and which configured keys are known to be bad."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from usage import health

from . import checking
from .checking import Checked, Outcome, Target
from .models import KeyCheck

# Breakers' words for the outcomes of a check.
BREAKER = {"key_refused": Outcome.REFUSED, "out_of_credit": Outcome.OUT_OF_CREDIT}


@dataclass(frozen=True, slots=True)
class BadKey:
    """`last`: none of that provider's keys is left."""

    target: Target
    outcome: Outcome
    last: bool


def keep(results: Iterable[Checked], *, all_keys: bool) -> None:
    """Insert or replace; after a check of all keys, those that are configured no more are forgotten."""
    rows = [
        KeyCheck(
            provider=checked.target.provider,
            subject=checked.target.subject,
            ordinal=checked.target.ordinal,
            well_formed=checked.target.well_formed,
            outcome=checked.verdict.outcome,
            status=checked.verdict.status,
        )
        for checked in results
    ]
    # Two checks at once: each row is from one of them, whole.
    KeyCheck.objects.bulk_create(rows, update_conflicts=True, unique_fields=["subject"], update_fields=KeyCheck.FIELDS)
    if all_keys:
        KeyCheck.objects.exclude(subject__in=[row.subject for row in rows]).delete()


def check_all() -> list[Checked]:
    results = list(checking.check(checking.targets()))
    keep(results, all_keys=True)
    return results


def check_bad_again() -> list[Checked]:
    """Those that the last check found bad, so that a mended one is not shown as bad until the night."""
    bad = set(KeyCheck.objects.filter(outcome__in=[o for o in Outcome if o.bad]).values_list("subject", flat=True))
    results = list(checking.check(target for target in checking.targets() if target.subject in bad))
    keep(results, all_keys=False)
    return results


def bad_keys() -> list[BadKey]:
    """Of the configured keys, those that the last check or real calls found refused or without credit.

    Raises `RedisAway`, `DatabaseError`.
    """
    targets = checking.targets()
    checks = {check.subject: check for check in KeyCheck.objects.all()}
    breakers = {breaker.subject: breaker for breaker in health.breakers_now()}
    outcomes = {target.subject: outcome_of(target.subject, checks, breakers) for target in targets}
    bad = [target for target in targets if outcomes[target.subject].needs_console]
    return [BadKey(target, outcomes[target.subject], is_last(target, bad)) for target in bad]


def outcome_of(subject: str, checks: dict[str, KeyCheck], breakers: dict[str, health.Breaker]) -> Outcome:
    check = checks.get(subject)
    checked = Outcome(check.outcome) if check else Outcome.UNTRIED
    for name in (subject, f"{subject}$"):
        breaker = breakers.get(name)
        # A breaker of before the check: no call has tried that key since.
        if breaker and breaker.reason in BREAKER and not (check and is_older(breaker, check)):
            return BREAKER[breaker.reason]
    return checked


def is_older(breaker: health.Breaker, check: KeyCheck) -> bool:
    return datetime.fromtimestamp(breaker.until, UTC) < check.checked_at


def is_last(target: Target, bad: Sequence[Target]) -> bool:
    return sum(other.provider == target.provider for other in bad) == target.of
