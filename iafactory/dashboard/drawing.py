"""The dashboard's charts: the last 24 hours by provider, and 30 days of what came in and what it cost."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing import reports as sales
from iafactory.templatetags.figures import usd_text
from llmrouter.providers.registry import PROVIDERS
from usage.ledger import day_bounds
from usage.reports import history
from usage.reports.history import Spend

from . import links
from .charts import Chart, Point, Series, side_by_side, stacked

HOURS, DAYS = 24, 30
SHADES = 8
HOUR = timedelta(hours=1)
REVENUE, COST, MARGIN = "revenue", "cost", "margin"


def last_24_hours(now: datetime) -> tuple[Chart, Chart]:
    """Spend and calls by the hour; a provider has one colour in both."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    hours = [this_hour - (HOURS - 1 - n) * HOUR for n in range(HOURS)]
    found = history.by_hour(hours[0], this_hour + HOUR)
    names = sorted({name for _hour, name in found}, key=order_of)
    series = [Series(name, f"s{n % SHADES}") for n, name in enumerate(names)]
    ticks = [f"{hours[place]:%H}:00" for place in (0, 6, 12, 18)] + [_("now")]

    def points(value: Callable[[Spend], Decimal]) -> list[Point]:
        return [
            Point(
                [value(found.get((hour, name), Spend())) for name in names],
                hour_tip(hour, {name: found[hour, name] for name in names if (hour, name) in found}),
                links.usage_rows(hour, hour + HOUR),
            )
            for hour in hours
        ]

    spend = stacked(points(lambda one: one.cost_usd), series, ticks)
    calls = stacked(points(lambda one: Decimal(one.calls)), series, ticks)
    return spend, calls


def hour_tip(hour: datetime, found: dict[str, Spend]) -> str:
    lines = [f"{hour:%H}:00 – {hour + HOUR:%H}:00"]
    lines += [f"{name}: {usd_text(spend.cost_usd)} · {calls_text(spend.calls)}" for name, spend in found.items()]
    return "\n".join(lines if found else [*lines, _("no calls")])


def calls_text(calls: int) -> str:
    # Translators: below a bar of a chart
    return ngettext("%(calls)s call", "%(calls)s calls", calls) % {"calls": number_format(calls, force_grouping=True)}


def last_30_days(today: date) -> Chart:
    days = [today - timedelta(days=DAYS - 1 - n) for n in range(DAYS)]
    revenues = sales.revenue_by_day(day_bounds(days[0])[0], day_bounds(today)[1])
    spends = history.by_day(days[0], today)
    none = sales.Revenue()
    points = []
    for day in days:
        revenue, cost = revenues.get(day, none).usd_rounded, spends.get(day, Spend()).cost_usd
        points.append(
            Point(
                [revenue, cost],
                day_tip(day, revenue, cost),
                links.usage_rows(*day_bounds(day)),
                line=revenue - cost,
            )
        )
    series = [Series(_("Revenue"), REVENUE), Series(_("Cost"), COST), Series(_("Margin"), MARGIN)]
    ticks = [date_format(days[place], "j N") for place in (0, 10, 20)] + [_("today")]
    chart = side_by_side(points, series[:2], ticks, line_shade=MARGIN)
    return Chart(chart.columns, tuple(series), chart.scale, chart.ticks, chart.line, chart.line_shade, chart.base)


def day_tip(day: date, revenue: Decimal, cost: Decimal) -> str:
    return "\n".join(
        [
            date_format(day, "j F Y"),
            f"{_('Revenue')}: {usd_text(revenue)}",
            f"{_('Cost')}: {usd_text(cost)}",
            f"{_('Margin')}: {usd_text(revenue - cost)}",
        ]
    )


def order_of(provider: str) -> tuple[int, str]:
    """That of the registry, so that a provider keeps its colour from one look to the next; strangers last."""
    known = list(PROVIDERS)
    return (known.index(provider) if provider in known else len(known), provider)
