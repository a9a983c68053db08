"""A column whose values are labels, each in the colour of what it says."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from django.utils.functional import Promise
from unfold.decorators import display

Method = TypeVar("Method", bound=Callable[..., Any])


def labelled(
    description: str | Promise, colours: Mapping[Any, str], ordering: str | None = None
) -> Callable[[Method], Method]:
    """Unfold's `display`, which has no types, over a method that gives a value and its words."""
    return cast("Callable[[Method], Method]", display(description=description, ordering=ordering, label=colours))
