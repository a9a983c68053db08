"""The periods that the dashboard can be asked for. Whole days of Algiers, today among them but for `yesterday`."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from usage.ledger import day_bounds


@dataclass(frozen=True, slots=True)
class Period:
    key: str
    label: str | Promise
    first: date
    last: date

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        return day_bounds(self.first)[0], day_bounds(self.last)[1]


def periods(today: date) -> dict[str, Period]:
    yesterday = today - timedelta(days=1)
    return {
        period.key: period
        for period in (
            Period("today", _("Today"), today, today),
            Period("yesterday", _("Yesterday"), yesterday, yesterday),
            Period("7d", _("7 days"), today - timedelta(days=6), today),
            Period("30d", _("30 days"), today - timedelta(days=29), today),
        )
    }


def period_of(key: str, today: date) -> Period:
    """What is asked for; today where it is nothing that there is."""
    known = periods(today)
    return known.get(key, known["today"])
