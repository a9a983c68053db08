from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from . import audit, second_factor
from .models import ApiKey, SoftBan, StaffAction, User
from .staff_forms import EditableAdmin, OpenedField, StaffFormMixin

admin.site.unregister(Group)
# Their pages would show refresh tokens.
admin.site.unregister([BlacklistedToken, OutstandingToken])


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """A ledger: seen, never written by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ApiKeyInline(TabularInline):  # type: ignore[misc]
    """Seen, and revoked by deleting the person's access elsewhere; a key is made by its owner alone."""

    model = ApiKey
    fields = ("prefix", "name", "created_at", "last_used_at", "revoked_at")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        return False


ACCESS = ("is_active", "is_staff", "is_superuser")


class UserForm(StaffFormMixin, UserChangeForm):  # type: ignore[misc]
    opened = OpenedField()
    # Who saves the form; set by the page.
    by: User | None = None

    def _post_clean(self) -> None:
        super()._post_clean()
        before = self.row_before
        lost = [name for name in ACCESS if before[name] and not getattr(self.instance, name)]
        if lost and self.by is not None and self.by.pk == self.instance.pk:
            self.add_error(lost[0], _("You cannot take away your own access. Ask another superuser to do it."))
        elif lost and before["is_superuser"] and not another_superuser(self.instance.pk):
            self.add_error(lost[0], _("This is the last superuser. Make another one first."))


def another_superuser(user_id: int) -> bool:
    """Asked inside the transaction that takes the access away. Two superusers who do it to each other at the same
    instant: the second one waits here, and sees what the first one did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('accounts.superusers'))")
    able = User.objects.filter(is_superuser=True, is_staff=True, is_active=True)
    return able.exclude(pk=user_id).exists()


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[misc]
    def save(self, commit: bool = True) -> Any:
        """Write the password alone: the person may change the language or sign in meanwhile."""
        user = super().save(commit=False)
        if commit:
            user.save(update_fields=["password"])
        return user


@admin.register(User)
class UserAdmin(DjangoUserAdmin, EditableAdmin):  # type: ignore[type-arg]
    form = UserForm
    add_form = UserCreationForm
    change_password_form = PasswordForm
    list_display = ("email", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "language")
    search_fields = ("email",)
    ordering = ("-id",)
    readonly_fields = ("date_joined", "last_login")
    inlines: ClassVar = [ApiKeyInline]
    fieldsets = (
        (None, {"fields": ("email", "password", "language")}),
        (_("Permissions"), {"fields": ("is_active", "is_staff", "is_superuser", "user_permissions")}),
        (_("Dates"), {"fields": ("date_joined", "last_login")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "password1", "password2")}),)
    filter_horizontal = ("user_permissions",)
    actions: tuple[Any, ...] = ("revoke_api_keys", "reset_second_factors")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What somebody did and paid outlives the account: it is made inactive instead."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Staff who may edit customers edit no other staff: a new password for a superuser would make them one."""
        if obj is not None and (obj.is_staff or obj.is_superuser) and not request.user.is_superuser:
            return False
        return bool(super().has_change_permission(request, obj))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        # Django makes this class for the request alone.
        form.by = request.user
        return form

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:  # noqa: A002 (Django's own)
        # A transaction, so that the row is locked while it is read and written.
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        rights = () if request.user.is_superuser else ("is_staff", "is_superuser", "user_permissions")
        return (*self.readonly_fields, *rights)

    def has_staff_permission(self, request: HttpRequest) -> bool:
        """Only who may do everything opens the door to another member of staff."""
        return bool(request.user.is_superuser)

    def those_to_change(self, request: HttpRequest, users: QuerySet[User]) -> list[User]:
        """Of the users that an action was asked for, those whom this member of staff may change; told of the others."""
        found = [user for user in users if self.has_change_permission(request, user)]
        if len(found) < len(users):
            self.message_user(request, _("Members of staff are left as they are."), messages.WARNING)
        return found

    @admin.action(description=_("Revoke all API keys of these accounts"), permissions=["change"])
    def revoke_api_keys(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        assert isinstance(request.user, User)
        for user in self.those_to_change(request, queryset):
            with transaction.atomic():
                revoked = ApiKey.objects.in_force().filter(user=user).update(revoked_at=timezone.now())
                audit.record("keys.revoked", by=request.user, subject=user, details={"keys": revoked}, request=request)
        self.message_user(request, _("Their API keys are revoked."))

    @admin.action(description=_("Reset the second factor of these accounts"), permissions=["staff"])
    def reset_second_factors(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        assert isinstance(request.user, User)
        for user in queryset:
            second_factor.reset(user=user, by=request.user, request=request)
        self.message_user(request, _("Their second factors are set up anew at the next login."))


@admin.register(SoftBan)
class SoftBanAdmin(ReadOnlyAdmin):
    list_display = ("user", "reason", "until", "lifted_at", "banned_by")
    list_select_related = ("user", "banned_by")
    list_filter: ClassVar = ["lifted_at"]


@admin.register(StaffAction)
class StaffActionAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor_name", "action", "subject", "details", "address")
    list_filter = ("action", "at")
    search_fields = ("actor_name", "subject", "request_id")
    search_help_text = _("Who did it, to what (user 7), or a request's id.")
    list_per_page = 50
    show_full_result_count = False
