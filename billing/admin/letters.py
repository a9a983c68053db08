"""The mails that are owed to people: what became of each, and another try for those that were given up."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, ngettext

from accounts import audit
from accounts.admin import ReadOnlyAdmin
from accounts.models import User

from ..letters import GIVEN_UP, NOT_WANTED, try_again
from ..models import Letter
from .labels import labelled

COLOURS = {"sent": "success", "waiting": "info", "dropped": "danger"}
STATES: dict[str, str | Promise] = {
    "sent": gettext_lazy("sent"),
    "waiting": gettext_lazy("waiting"),
    "dropped": gettext_lazy("dropped"),
}
WHERE = {
    "sent": Q(sent_at__isnull=False),
    "waiting": Q(sent_at=None, dropped_at=None),
    "dropped": Q(dropped_at__isnull=False),
}
WHY: dict[str, str | Promise] = {
    NOT_WANTED: gettext_lazy("no longer wanted"),
    GIVEN_UP: gettext_lazy("given up"),
}


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(STATES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Letter]) -> QuerySet[Letter]:
        return queryset.filter(WHERE.get(self.value() or "", Q()))


@admin.register(Letter)
class LetterAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "user", "kind", "state", "why", "tries", "next_try_at", "sent_at")
    list_filter = (StateFilter, "kind", ("created_at", admin.DateFieldListFilter))
    date_hierarchy = "created_at"
    list_select_related = ("user",)
    search_fields = ("=user__email",)
    search_help_text = gettext_lazy("An e-mail address, whole.")
    list_per_page = 50
    show_full_result_count = False
    actions = ("write_again",)

    @labelled(gettext_lazy("state"), COLOURS)
    def state(self, letter: Letter) -> tuple[str, str]:
        state = "sent" if letter.sent_at else "dropped" if letter.dropped_at else "waiting"
        return state, str(STATES[state])

    @admin.display(description=gettext_lazy("trouble"))
    def why(self, letter: Letter) -> str:
        return str(WHY.get(letter.trouble, letter.trouble))

    def has_write_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_letter")

    @admin.action(description=gettext_lazy("Write again those that were given up"), permissions=["write"])
    def write_again(self, request: HttpRequest, queryset: QuerySet[Letter]) -> None:
        assert isinstance(request.user, User)
        with transaction.atomic():
            found = try_again(queryset)
            for letter in found:
                audit.record("mail.again", by=request.user, subject=letter, request=request)
        text = ngettext("%(count)s mail will be tried again.", "%(count)s mails will be tried again.", len(found))
        self.message_user(request, text % {"count": len(found)})
