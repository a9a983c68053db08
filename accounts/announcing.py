"""Models whose rows processes remember: every change of a row through the ORM is announced, without a call for it.

    @announces("user_id", besides={"last_used_at"})
    class ApiKey(models.Model):
        objects = AnnouncingQuerySet.as_manager()

Saving and deleting announce by signals. `QuerySet.update` and `bulk_create` send none, so the query set announces
them; it has to be the one of every manager. Only SQL by hand passes by: its changes are in force within 5 s.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import models
from django.db.models.signals import m2m_changed, post_delete, post_init, post_save

from .changes import announce_change, announce_change_for_everyone

M = TypeVar("M", bound=models.Model)

# A statement that changes rows of more users than this is announced as a change for everyone.
MOST_USERS = 100


@dataclass(frozen=True, slots=True)
class Rule:
    """Whose memory a row is part of: the attribute with the user's id, or None for everyone's. A change of the columns
    `besides` concerns no memory."""

    owner: str | None
    besides: frozenset[str]

    def concerns(self, columns: Collection[str] | None) -> bool:
        """Whether a change of these columns (None: of all) matters."""
        return columns is None or not self.besides.issuperset(columns)

    def owner_of(self, row: models.Model) -> int | None:
        return None if self.owner is None else getattr(row, self.owner)


RULES: dict[type[models.Model], Rule] = {}


class AnnouncingQuerySet(models.QuerySet[M]):
    def update(self, **values: Any) -> int:
        rule = RULES[self.model]
        if not rule.concerns(values):
            return super().update(**values)
        owners = self._owners(rule, values)
        changed = super().update(**values)
        if changed:
            # None were found, yet rows were changed: another transaction made them match in between.
            announce(owners or {None})
        return changed

    def bulk_create(self, objs: Iterable[M], *args: Any, **options: Any) -> list[M]:
        rows = super().bulk_create(objs, *args, **options)
        rule = RULES[self.model]
        announce({rule.owner_of(row) for row in rows})
        return rows

    def _owners(self, rule: Rule, values: dict[str, Any]) -> set[int | None]:
        """Whose rows will be changed. Rows that another transaction changes in this instant may be missing: then the
        5 s remain."""
        if rule.owner is None or rule.owner.removesuffix("_id") in values or rule.owner in values:
            return {None}
        return set(self.order_by().values_list(rule.owner, flat=True)[: MOST_USERS + 1])


def announces(owner: str | None, *, besides: Collection[str] = ()) -> Callable[[type[M]], type[M]]:
    """Class decorator: see the module."""
    rule = Rule(owner, frozenset(besides))

    def register(model: type[M]) -> type[M]:
        RULES[model] = rule
        name = model._meta.label
        post_init.connect(_remember_owner, model, weak=False, dispatch_uid=f"{name} owner")
        post_save.connect(_saved, model, weak=False, dispatch_uid=f"{name} saved")
        post_delete.connect(_deleted, model, weak=False, dispatch_uid=f"{name} deleted")
        for relation in model._meta.many_to_many:
            through = getattr(relation.remote_field, "through", None)
            m2m_changed.connect(_related, through, weak=False, dispatch_uid=f"{name} {relation.name}")
        return model

    return register


def announce(concerned: Collection[int | None]) -> None:
    if None in concerned or len(concerned) > MOST_USERS:
        announce_change_for_everyone()
        return
    for user_id in concerned:
        if user_id is not None:
            announce_change(user_id=user_id)


def _remember_owner(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    """A row that is given to another user concerns the one who had it, too."""
    owner = RULES[sender].owner
    if owner is not None:
        # Not by getattr: a deferred column would be loaded.
        instance.__dict__["_announced_owner"] = instance.__dict__.get(owner)


def _saved(
    sender: type[models.Model], instance: models.Model, update_fields: Collection[str] | None = None, **_: Any
) -> None:
    rule = RULES[sender]
    if rule.concerns(update_fields):
        owner = rule.owner_of(instance)
        announce({owner, instance.__dict__.get("_announced_owner") or owner})
        instance.__dict__["_announced_owner"] = owner


def _deleted(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    announce({RULES[sender].owner_of(instance)})


def _related(sender: type[models.Model], action: str, **_: Any) -> None:
    if action.startswith("post_"):
        announce_change_for_everyone()
