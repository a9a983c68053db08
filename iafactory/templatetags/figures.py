"""How figures are written for people, in their language. Each is one word for the eye: it never breaks, and its digits
run from left to right in Arabic too."""

from decimal import ROUND_HALF_UP, Decimal

from django import template
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

register = template.Library()

NONE = "–"


@register.filter
def usd(amount: Decimal | None) -> SafeString:
    """Cents, and below a dollar as many places as it takes to see something."""
    return isolated(NONE if amount is None else usd_text(amount))


@register.filter
def number(count: int | Decimal | None) -> SafeString:
    return isolated(NONE if count is None else number_format(count, use_l10n=True, force_grouping=True))


@register.filter
def compact(count: int) -> SafeString:
    """`950`, `12.4 k`, `3.1 M`: where the size is what matters."""
    for size, sign in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return isolated(f"{number_format(Decimal(count) / size, 1)} {sign}")
    return isolated(number_format(count))


@register.filter
def whole(count: Decimal) -> SafeString:
    """A tick of a scale: 2.5 stays what it is, 10 has no places."""
    return isolated(number_format(count.normalize() if count % 1 else int(count), force_grouping=True))


@register.filter
def percent(share: Decimal | None) -> SafeString:
    return isolated(NONE if share is None else percent_text(share))


@register.filter
def ms(milliseconds: int | None) -> SafeString:
    """`840 ms`, `12.4 s`."""
    if milliseconds is None:
        return isolated(NONE)
    if milliseconds < 10_000:
        return isolated(f"{number_format(milliseconds, force_grouping=True)} ms")
    return isolated(f"{number_format(Decimal(milliseconds) / 1000, 1)} s")


def usd_text(amount: Decimal) -> str:
    size = abs(amount)
    places = 2 if size >= 1 or size == 0 else 4 if size >= Decimal("0.001") else 6
    rounded = size.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    text = number_format(rounded, places, force_grouping=True)
    sign = "−" if amount < 0 and rounded else ""
    return f"{sign}${text}" if in_english() else f"{sign}{text} $"


def percent_text(share: Decimal) -> str:
    text = number_format(share, 1, force_grouping=True).replace("-", "−")
    return f"{text}%" if in_english() else f"{text} %"


def in_english() -> bool:
    return (get_language() or "").startswith("en")


def isolated(text: str) -> SafeString:
    return format_html('<bdi class="figure" dir="ltr">{}</bdi>', text)
