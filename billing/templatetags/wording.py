"""The words of `billing.wording`, for templates."""

from django import template

from billing import wording

register = template.Library()
register.filter("dinars", wording.dinars)
register.filter("figure", wording.figure)
register.filter("in_words", wording.dinars_in_words)
register.filter("span", wording.span)
register.filter("tier_title", wording.tier_title)
