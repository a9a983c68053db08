"""How money and tiers are written for people, in the language in force: figures, words, names."""

import threading
from datetime import timedelta
from decimal import Decimal

from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _
from num2words import num2words

# Between the digits and before the unit, so that no line breaks there; a right-to-left line keeps the figure whole too
# (in Unicode's bidirectional algorithm this space joins digits, an ordinary one parts them).
NO_BREAK = "\u00a0"

TIER_TITLES: dict[str, str | Promise] = {
    "free": gettext_lazy("Free"),
    "student": gettext_lazy("Student"),
    "pro": gettext_lazy("Pro"),
    "enterprise": gettext_lazy("Enterprise"),
}
# num2words' Arabic keeps the number that it is spelling in an object that all threads share.
_spelling = threading.Lock()


def tier_title(name: str) -> str:
    """A tier's name for people; staff may add tiers that nobody has translated."""
    return str(TIER_TITLES.get(name) or name.replace("-", " ").replace("_", " ").capitalize())


def dinars(amount: int | Decimal) -> str:
    """1590 -> "1 590 DA"; centimes only where they are given."""
    places = 2 if isinstance(amount, Decimal) else 0
    return _("%(figure)s DA").replace(" ", NO_BREAK) % {"figure": figure(amount, places)}


def figure(amount: int | Decimal, places: int = 0) -> str:
    grouped = f"{amount:,.{places}f}"
    whole, _point, part = grouped.partition(".")
    whole = whole.replace(",", NO_BREAK)
    return whole + (number_format(Decimal(f"0.{part}"), places)[1:] if part else "")


def span(time: timedelta) -> str:
    """11 days; hours where it is less than two days."""
    if time < timedelta(days=2):
        hours = time // timedelta(hours=1)
        return ngettext("%(n)s hour", "%(n)s hours", hours) % {"n": hours}
    return ngettext("%(n)s day", "%(n)s days", time.days) % {"n": time.days}


def dinars_in_words(amount: int) -> str:
    """1590 -> "mille cinq cent quatre-vingt-dix dinars algériens"; whole dinars, at least 0."""
    language = (get_language() or "fr")[:2]
    with _spelling:
        words = num2words(amount, lang=language)
    if language == "ar":
        # The conjunction is written together with what follows it.
        return f"{words.replace(' و ', ' و')} {arabic_dinars(amount)}"
    if language == "en":
        return f"{words} Algerian {'dinar' if amount == 1 else 'dinars'}"
    joined = "de " if amount and amount % 1_000_000 == 0 else ""
    return f"{words} {joined}{'dinar algérien' if amount < 2 else 'dinars algériens'}"


def arabic_dinars(amount: int) -> str:
    """The noun after a number: plural after 3 to 10, accusative singular after 11 to 99, singular after hundreds."""
    rest = amount % 100
    if 3 <= rest <= 10:
        return "دنانير جزائرية"
    return "دينارا جزائريا" if rest >= 11 else "دينار جزائري"
