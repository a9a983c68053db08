"""What you used: one row per attempt that reached a provider, and what keeps the ledger whole."""

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class RandomUUID(models.Func):
    """PostgreSQL's own generator (since 13): no extension to install."""

    function = "gen_random_uuid"
    output_field = models.UUIDField()


class UsageLog(models.Model):
    """An attempt that reached a provider. History outlives people and catalogues: no foreign keys, names instead."""

    request_id = models.UUIDField(_("request"), db_default=RandomUUID())
    attempt = models.PositiveSmallIntegerField(_("attempt"), db_default=1)
    user_id = models.BigIntegerField(_("user id"))
    tier = models.CharField(_("tier"), max_length=32, db_default="")
    provider = models.CharField(_("provider"), max_length=32)
    model = models.CharField(_("model"), max_length=128)
    requested_model = models.CharField(_("requested model"), max_length=128, db_default="")
    tokens_input = models.PositiveIntegerField(_("input tokens"), db_default=0)
    tokens_output = models.PositiveIntegerField(_("output tokens"), db_default=0)
    cost_usd = models.DecimalField(_("cost (USD)"), max_digits=18, decimal_places=9, db_default=0)
    charged_usd = models.DecimalField(
        _("charged (USD)"),
        max_digits=18,
        decimal_places=9,
        null=True,
        help_text=_("What counts for the customer: 0 for an answer that could not be used. Empty: the cost."),
    )
    list_cost_usd = models.DecimalField(_("list price (USD)"), max_digits=18, decimal_places=9, db_default=0)
    latency_ms = models.PositiveIntegerField(_("latency (ms)"), db_default=0)
    endpoint = models.CharField(_("endpoint"), max_length=64, db_default="")
    streamed = models.BooleanField(_("streamed"), db_default=False)
    finish_reason = models.CharField(_("finish reason"), max_length=32, db_default="")
    error_flag = models.BooleanField(_("failed"), db_default=False)
    error_message = models.CharField(_("error"), max_length=200, db_default="")
    estimated = models.BooleanField(
        _("estimated"), db_default=False, help_text=_("The provider did not tell; the cost is an upper bound.")
    )
    counted = models.BooleanField(
        _("counted"), db_default=True, help_text=_("This attempt's message counts in the daily quota.")
    )
    fallback_level = models.PositiveSmallIntegerField(_("fallback level"), db_default=0)
    budget_fallback = models.BooleanField(_("budget fallback"), db_default=False)
    split_turn = models.PositiveSmallIntegerField(
        _("turn of the split"), null=True, help_text=_("Of 100; empty where nothing was split.")
    )
    client_request_id = models.CharField(_("client's request id"), max_length=128, db_default="")
    api_key_id = models.BigIntegerField(_("API key id"), null=True)
    created_at = models.DateTimeField(_("admitted"), db_default=Now())

    class Meta:
        db_table = "llm_usage_logs"
        verbose_name = _("usage row")
        verbose_name_plural = _("usage log")
        constraints: ClassVar = [
            # The drainer may write a batch again after a crash: a row is there once.
            models.UniqueConstraint(fields=["request_id", "attempt"], name="llm_usage_logs_attempt_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user_id", "-created_at"], name="llm_usage_logs_user_time"),
            models.Index(fields=["-created_at"], name="llm_usage_logs_time"),
        ]

    def __str__(self) -> str:
        return f"{self.request_id}/{self.attempt}"

    @property
    def payers_amount(self) -> Decimal:
        """What the customer was charged, in dollars."""
        return self.cost_usd if self.charged_usd is None else self.charged_usd


class LedgerState(models.Model):
    """One row: how far the table has the stream, and which Redis data set is trusted."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY, db_default=ONLY)
    last_stream_id = models.CharField(max_length=48, default="0-0", db_default="0-0")
    dataset = models.UUIDField(null=True)

    class Meta:
        db_table = "usage_ledger_state"
        constraints: ClassVar = [models.CheckConstraint(condition=models.Q(id=1), name="usage_ledger_state_one_row")]


class GatewayProcess(models.Model):
    """A process that may hold money. It goes when the process ends, or when what it left has been settled."""

    id = models.UUIDField(primary_key=True)
    host = models.CharField(max_length=128)
    pid = models.IntegerField()
    started_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "usage_gateway_processes"


class DeadLetter(models.Model):
    """A row that could not be written to the table; kept whole for a person to look at."""

    stream_id = models.CharField(_("stream id"), max_length=48, unique=True)
    payload = models.TextField(_("payload"))
    error = models.TextField(_("error"))
    created_at = models.DateTimeField(_("kept"), db_default=Now())

    class Meta:
        db_table = "usage_dead_letters"
        verbose_name = _("dead letter")
        verbose_name_plural = _("dead letters")

    def __str__(self) -> str:
        return self.stream_id


class BudgetReset(models.Model):
    """Who began a day's counter again, and what the ledger said at that instant: a rebuild starts from there."""

    day = models.DateField(_("day"), db_index=True)
    at = models.DateTimeField(_("at"), db_default=Now())
    by = models.CharField(_("by"), max_length=150)
    before_usd = models.DecimalField(_("before (USD)"), max_digits=18, decimal_places=9, null=True)
    ledger_usd = models.DecimalField(_("ledger (USD)"), max_digits=18, decimal_places=9)

    class Meta:
        db_table = "usage_budget_resets"
        verbose_name = _("budget reset")
        verbose_name_plural = _("budget resets")

    def __str__(self) -> str:
        return f"{self.day}: {self.by}"


class Rollup(models.Model):
    """Sums over usage rows, written by a trigger in the transaction of the rows themselves (see `rollups`).

    A key may have several rows, which are to be added up: writers only ever append, so that none waits for another;
    folding makes one of them.
    """

    calls = models.BigIntegerField()
    folded = models.BooleanField(db_default=False)

    class Meta:
        abstract = True


class HourRollup(Rollup):
    hour = models.DateTimeField()
    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=128)
    tier = models.CharField(max_length=32)
    errors = models.BigIntegerField()
    tokens_input = models.BigIntegerField()
    tokens_output = models.BigIntegerField()
    cost_usd = models.DecimalField(max_digits=18, decimal_places=9)
    list_cost_usd = models.DecimalField(max_digits=18, decimal_places=9)
    latency_ms = models.BigIntegerField()

    class Meta:
        db_table = "usage_rollup_hours"
        indexes: ClassVar = [
            models.Index(fields=["hour"], name="usage_rollup_hours_time"),
            models.Index(fields=["hour"], condition=models.Q(folded=False), name="usage_rollup_hours_fresh"),
        ]


class UserDayRollup(Rollup):
    day = models.DateField()
    user_id = models.BigIntegerField()
    tier = models.CharField(max_length=32)
    errors = models.BigIntegerField()
    tokens = models.BigIntegerField()
    cost_usd = models.DecimalField(max_digits=18, decimal_places=9)

    class Meta:
        db_table = "usage_rollup_user_days"
        indexes: ClassVar = [
            models.Index(fields=["day", "user_id"], name="usage_rollup_users_time"),
            models.Index(fields=["day"], condition=models.Q(folded=False), name="usage_rollup_users_fresh"),
        ]


class LatencyRollup(Rollup):
    """How many calls that did not fail took as long as `bucket` says: up to 1.1 ** bucket milliseconds."""

    day = models.DateField()
    provider = models.CharField(max_length=32)
    bucket = models.SmallIntegerField()

    class Meta:
        db_table = "usage_rollup_latencies"
        indexes: ClassVar = [
            models.Index(fields=["day"], name="usage_rollup_lats_time"),
            models.Index(fields=["day"], condition=models.Q(folded=False), name="usage_rollup_lats_fresh"),
        ]
