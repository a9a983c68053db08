"""Who you are: a person named by an e-mail address, and the API keys that person has made."""

import secrets
import string
from datetime import datetime
from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower, Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .announcing import AnnouncingQuerySet, announces
from .keys import digest_of
from .plain import check_mailable


class UserManager(BaseUserManager["User"]):
    def get_queryset(self) -> AnnouncingQuerySet["User"]:
        return AnnouncingQuerySet(self.model, using=self._db)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=normal_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=normal_email(username or ""))


@announces("id", besides={"last_login", "language"})
class User(AbstractBaseUser, PermissionsMixin):
    class Language(models.TextChoices):
        FRENCH = "fr", "Français"
        ARABIC = "ar", "العربية"
        ENGLISH = "en", "English"

    email = models.EmailField(_("e-mail address"), unique=True)
    language = models.CharField(
        _("language"), max_length=2, choices=Language, default=Language.FRENCH, db_default=Language.FRENCH
    )
    is_active = models.BooleanField(_("active"), default=True, db_default=True)
    is_staff = models.BooleanField(_("staff"), default=False, db_default=False)
    date_joined = models.DateTimeField(_("joined"), db_default=Now(), editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        db_table = "users"
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints: ClassVar = [
            # Two sign-ups of one address at the same instant, in whatever case: the database lets one in.
            models.UniqueConstraint(Lower("email"), name="users_email_ci_unique"),
        ]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        super().clean()
        self.email = normal_email(self.email)
        check_mailable(self.email)
        if self.is_superuser and not self.is_staff:
            raise ValidationError({"is_superuser": _("Only a member of staff can be a superuser.")})

    def save(self, *args: Any, **kwargs: Any) -> None:
        # However it is made (the admin, a shell): the address is looked up in lower case.
        self.email = normal_email(self.email)
        super().save(*args, **kwargs)


class ApiKeyQuerySet(AnnouncingQuerySet["ApiKey"]):
    def in_force(self) -> Self:
        return self.filter(revoked_at=None, user__is_active=True)

    def issue(self, *, user_id: int, name: str) -> tuple["ApiKey", str]:
        """A new key: the row, and the text that is shown once and kept nowhere."""
        text = "iaf_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(40))
        return self.create(user_id=user_id, name=name, prefix=text[:12], digest=digest_of(text)), text


@announces("user_id", besides={"last_used_at", "name"})
class ApiKey(models.Model):
    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=80)
    prefix = models.CharField(_("prefix"), max_length=12, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)

    objects: ClassVar = ApiKeyQuerySet.as_manager()

    class Meta:
        db_table = "api_keys"
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"


class SoftBanQuerySet(AnnouncingQuerySet["SoftBan"]):
    def in_force(self, at: datetime) -> Self:
        return self.filter(lifted_at=None, until__gt=at)


@announces("user_id")
class SoftBan(models.Model):
    """A user who may not chat for a while. This is the truth of it; Redis holds a copy that bites at once."""

    user = models.ForeignKey(User, models.CASCADE, related_name="soft_bans", verbose_name=_("user"))
    reason = models.CharField(_("reason"), max_length=200)
    banned_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("by"))
    created_at = models.DateTimeField(_("from"), db_default=Now())
    until = models.DateTimeField(_("until"))
    lifted_at = models.DateTimeField(_("lifted"), null=True, blank=True)
    lifted_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("lifted by"))

    objects: ClassVar = SoftBanQuerySet.as_manager()

    class Meta:
        db_table = "soft_bans"
        verbose_name = _("soft ban")
        verbose_name_plural = _("soft bans")
        constraints: ClassVar = [
            # Two members of staff ban the same user at once: one ban.
            models.UniqueConstraint(fields=["user"], condition=models.Q(lifted_at=None), name="soft_bans_one_unlifted")
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.reason}"


@announces("user_id", besides={"last_step"})
class SecondFactor(models.Model):
    """The app that shows a member of staff six digits. Its secret is in no table: see `second_factor`."""

    user = models.OneToOneField(User, models.CASCADE, related_name="second_factor", verbose_name=_("user"))
    salt = models.CharField(max_length=43, editable=False)
    # The half minute of the last code that was accepted: no code is accepted twice.
    last_step = models.BigIntegerField(default=0, db_default=0, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    confirmed_at = models.DateTimeField(_("set up"), null=True, editable=False)

    objects: ClassVar[models.Manager["SecondFactor"]] = AnnouncingQuerySet["SecondFactor"].as_manager()

    class Meta:
        db_table = "second_factors"

    def __str__(self) -> str:
        return str(self.user_id)


class RecoveryCode(models.Model):
    """For the day when the telephone is lost; good for one use, and kept as a keyed hash."""

    user = models.ForeignKey(User, models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, unique=True, editable=False)

    class Meta:
        db_table = "recovery_codes"

    def __str__(self) -> str:
        return str(self.user_id)


class SignUp(models.Model):
    """What is known of how an account began, and how much it looks like one of many of the same person.

    Addresses are kept as keyed hashes: enough to tell that two are the same, and forgotten after 90 days.
    """

    user = models.OneToOneField(User, models.CASCADE, related_name="sign_up", verbose_name=_("user"))
    address_digest = models.CharField(max_length=64, db_index=True, editable=False)
    # Of the mailbox behind the address as written: a.li.ce+7@gmail.com is alice@gmail.com.
    mailbox_digest = models.CharField(max_length=64, db_index=True, editable=False)
    created_at = models.DateTimeField(_("signed up"), db_default=Now(), db_index=True, editable=False)
    score = models.PositiveSmallIntegerField(_("score"), default=0, db_default=0, editable=False)
    reasons = models.JSONField(
        _("reasons"), default=list, db_default=models.Value([], models.JSONField()), editable=False
    )

    class Meta:
        db_table = "sign_ups"
        verbose_name = _("sign-up")
        verbose_name_plural = _("sign-ups")

    def __str__(self) -> str:
        return str(self.user_id)


class StaffAction(models.Model):
    """What staff did, in the admin, the API or a shell. Written by `audit.record` alone, changed by nobody."""

    at = models.DateTimeField(_("at"), db_default=Now(), db_index=True)
    # The name stays when the account goes.
    actor = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("account"))
    actor_name = models.CharField(_("by"), max_length=254)
    action = models.CharField(_("action"), max_length=64, db_index=True)
    subject = models.CharField(_("on"), max_length=200)
    details = models.JSONField(_("details"), default=dict, db_default=models.Value({}, models.JSONField()))
    address = models.CharField(_("network address"), max_length=45, db_default="")
    request_id = models.CharField(_("request"), max_length=36, db_default="")

    class Meta:
        db_table = "staff_actions"
        verbose_name = _("staff action")
        verbose_name_plural = _("staff actions")
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.action} {self.subject}"


def normal_email(email: str) -> str:
    return email.strip().lower()
