"""The tables of everything that leaves: who is connected, what is owed, what was tried."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from payments.encryption import EncryptedJSONField
from payments.models import Customer, Event, Payment, ProviderAccount
from payments.models.accounts import HttpsURLField
from payments.money import Money


class Connection(models.Model):
    """One configured account of one outside system."""

    class Pause(models.TextChoices):
        RATE = "rate", _("the system asked us to slow down")
        CIRCUIT = "circuit", _("the system does not answer")
        AUTHORISATION = "authorisation", _("access was refused or a setting is wrong")
        PERSON = "person", _("paused by a person")

    connector = models.SlugField(_("system"), max_length=40)
    label = models.CharField(_("name"), max_length=120)
    livemode = models.BooleanField(
        _("live"), help_text=_("Follows live payments only, or test payments only.")
    )
    account = models.ForeignKey(
        ProviderAccount,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="connections",
        verbose_name=_("payment account"),
        help_text=_("Leave empty to follow every payment account of the same mode."),
    )
    secrets = EncryptedJSONField(_("keys"), default=dict, blank=True)
    options: models.JSONField[Any] = models.JSONField(_("settings"), default=dict, blank=True)
    base_url = HttpsURLField(
        _("API address"),
        blank=True,
        help_text=_("Leave empty for the vendor's own address. The sandbox puts its own here."),
    )
    is_enabled = models.BooleanField(_("switched on"), default=True)
    follows_since = models.DateTimeField(
        _("follows since"),
        default=timezone.now,
        help_text=_("Payments before this moment are sent only when you ask for them."),
    )
    mapping_version = models.PositiveIntegerField(_("mapping version"), default=1)
    created_at = models.DateTimeField(_("added"), default=timezone.now, editable=False)

    rate_per_second = models.FloatField(_("calls per second"), default=10.0)
    burst = models.PositiveIntegerField(_("burst"), default=10)
    rate_tat = models.FloatField(
        default=0.0, help_text="GCRA: the unix time at which the bucket is empty again."
    )
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True)
    paused_reason = models.CharField(_("why paused"), max_length=16, choices=Pause, blank=True)
    paused_note = models.CharField(_("what it said"), max_length=500, blank=True)
    fail_streak = models.PositiveIntegerField(_("failures in a row"), default=0)
    open_level = models.PositiveSmallIntegerField(default=0)
    last_success_at = models.DateTimeField(_("last success"), null=True, blank=True)

    class Meta:
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        ordering = ("label",)
        permissions = (
            (
                "manage_connection",
                gettext_noop("Can add, change, test, pause and resume connections"),
            ),
        )
        constraints = (
            models.UniqueConstraint(fields=("label",), name="each_connection_has_its_own_name"),
        )

    def __str__(self) -> str:
        return self.label

    @property
    def is_paused(self) -> bool:
        return bool(self.paused_reason) and (
            self.paused_until is None or self.paused_until > timezone.now()
        )


class FieldMapping(models.Model):
    """One line of a connection's mapping: our field, their field, and how it gets there."""

    class Mode(models.TextChoices):
        OVERWRITE = "overwrite", _("always overwrite")
        IF_EMPTY = "if_empty", _("fill when empty")
        IF_NEW = "if_new", _("only when created")

    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="mappings", verbose_name=_("connection")
    )
    record_kind = models.CharField(_("record"), max_length=20)
    source_field = models.CharField(_("our field"), max_length=80)
    target_field = models.CharField(_("their field"), max_length=120)
    mode = models.CharField(_("mode"), max_length=12, choices=Mode, default=Mode.OVERWRITE)
    template = models.CharField(
        _("text"),
        max_length=500,
        blank=True,
        help_text=_("For texts put together: {product}, {amount} and so on."),
    )
    value_map = models.JSONField(
        _("value map"),
        default=dict,
        blank=True,
        help_text=_('Our value: theirs, for example {"refunded": "Zwrot"}.'),
    )
    position = models.PositiveSmallIntegerField(_("order"), default=0)
    is_enabled = models.BooleanField(_("on"), default=True)

    class Meta:
        verbose_name = _("field mapping")
        verbose_name_plural = _("field mappings")
        ordering = ("record_kind", "position", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=("connection", "record_kind", "target_field"),
                name="each_target_field_filled_by_one_line",
            ),
        )

    def __str__(self) -> str:
        return f"{self.source_field} -> {self.target_field}"


class Delivery(models.Model):
    """One thing on its way to one connection.

    A *record* converges: it is brought to the state the payment has now, however often it is asked
    for (`want` counts requests, `have` what the last success answered). A *message* goes once.
    """

    class Kind(models.TextChoices):
        RECORD = "record", _("record")
        MESSAGE = "message", _("message")

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        LEASED = "leased", _("being sent")
        DELIVERED = "delivered", _("delivered")
        WAITING = "waiting", _("will be tried again")
        UNSURE = "unsure", _("unclear whether it left")
        NEEDS_ATTENTION = "needs_attention", _("needs attention")
        IGNORED = "ignored", _("ignored")

    OPEN = (State.QUEUED, State.WAITING)
    FAILED = (State.NEEDS_ATTENTION, State.UNSURE)

    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="deliveries", verbose_name=_("connection")
    )
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    purpose = models.CharField(
        _("what"),
        max_length=40,
        help_text="'deal', 'contact', 'receipt', 'team.payment_succeeded' ...",
    )
    effect_key = models.CharField(max_length=160)
    order_key = models.CharField(max_length=80)
    event = models.ForeignKey(
        Event,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="deliveries",
        verbose_name=_("last event"),
    )
    payment = models.ForeignKey(
        Payment,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="deliveries",
        verbose_name=_("payment"),
    )
    customer = models.ForeignKey(
        Customer,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="deliveries",
        verbose_name=_("customer"),
    )
    amount_minor = models.BigIntegerField(_("amount"), default=0)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    is_history = models.BooleanField(_("history"), default=False)
    want = models.PositiveIntegerField(default=1)
    sending = models.PositiveIntegerField(default=0, help_text="`want` when it was claimed.")
    have = models.PositiveIntegerField(default=0)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    crashes = models.PositiveSmallIntegerField(_("crashes"), default=0)
    due_at = models.DateTimeField(_("due"), default=timezone.now)
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    intent_at = models.DateTimeField(
        null=True, blank=True, help_text="A message: the moment before it was handed over."
    )
    cause = models.CharField(_("cause"), max_length=60, blank=True)
    cause_detail = models.CharField(_("about"), max_length=200, blank=True)
    problem = models.TextField(_("what the system said"), blank=True)
    failed_at = models.DateTimeField(_("failed since"), null=True, blank=True)
    delivered_at = models.DateTimeField(_("delivered"), null=True, blank=True)
    ignored_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("ignored by"),
    )
    ignored_reason = models.CharField(_("why ignored"), max_length=300, blank=True)
    ignored_until = models.DateTimeField(_("ignored until"), null=True, blank=True)
    created_at = models.DateTimeField(_("planned"), default=timezone.now)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ("-created_at", "-pk")
        permissions = (
            ("retry_delivery", gettext_noop("Can retry and resend deliveries")),
            ("ignore_delivery", gettext_noop("Can ignore deliveries and consider them sent")),
            ("fix_value", gettext_noop("Can correct a value and retry what failed because of it")),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("connection", "effect_key"), name="each_effect_owed_once"
            ),
            models.UniqueConstraint(
                fields=("connection", "order_key"),
                condition=models.Q(state="leased"),
                name="one_send_at_a_time_for_each_customer",
            ),
        )
        indexes = (
            models.Index(
                fields=("connection", "is_history", "due_at", "id"),
                name="deliveries_due",
                condition=models.Q(state__in=("queued", "waiting")),
            ),
            models.Index(
                fields=("lease_until",),
                name="deliveries_leased",
                condition=models.Q(state="leased"),
            ),
            # Everything that the failures inbox adds up, so that it reads no row.
            models.Index(
                fields=(
                    "connection",
                    "state",
                    "cause",
                    "cause_detail",
                    "currency",
                    "amount_minor",
                    "payment",
                    "failed_at",
                ),
                name="deliveries_failed",
                condition=models.Q(state__in=("needs_attention", "unsure")),
            ),
            models.Index(
                fields=("connection", "cause", "due_at"),
                name="deliveries_waiting",
                condition=models.Q(state="waiting"),
            ),
            models.Index(
                fields=("ignored_until",),
                name="deliveries_ignored_for_now",
                condition=models.Q(state="ignored", ignored_until__isnull=False),
            ),
            models.Index(fields=("state", "-created_at", "-id"), name="deliveries_by_state"),
            models.Index(fields=("-created_at", "-id"), name="deliveries_newest"),
            models.Index(
                fields=("connection", "-created_at", "-id"), name="deliveries_by_connection"
            ),
        )

    def __str__(self) -> str:
        return f"{self.purpose} #{self.pk}"

    @property
    def money(self) -> Money | None:
        return Money(self.amount_minor, self.currency) if self.currency else None


class ExternalRecord(models.Model):
    """One object in an outside system that stands for one of ours.

    The row and its `intent_at` are written BEFORE the object is created, so that a crash between
    their creation and our commit is seen and looked up, never repeated blindly.
    """

    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="records", verbose_name=_("connection")
    )
    kind = models.CharField(_("kind"), max_length=20)
    local_key = models.CharField(_("ours"), max_length=80)
    remote_id = models.CharField(_("theirs"), max_length=120, blank=True)
    remote_url = models.URLField(_("address"), max_length=500, blank=True)
    intent_at = models.DateTimeField(_("creation begun"), null=True, blank=True)
    idempotency_key = models.UUIDField(null=True, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    sent = models.JSONField(_("last sent"), default=dict, blank=True)
    synced_at = models.DateTimeField(_("last in step"), null=True, blank=True)
    created_at = models.DateTimeField(_("linked"), default=timezone.now)

    class Meta:
        verbose_name = _("external record")
        verbose_name_plural = _("external records")
        constraints = (
            models.UniqueConstraint(
                fields=("connection", "kind", "local_key"), name="each_thing_has_one_record_there"
            ),
        )
        indexes = (
            models.Index(fields=("connection", "kind", "remote_id"), name="records_by_remote_id"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.remote_id or '?'}"


class Attempt(models.Model):
    """One try of one delivery. Append-only; what it shows is already masked."""

    class Outcome(models.TextChoices):
        DELIVERED = "delivered", _("delivered")
        UNCHANGED = "unchanged", _("nothing to change")
        RETRY_LATER = "retry_later", _("to be tried again")
        HELD = "held", _("the connection waits")
        REJECTED = "rejected", _("refused")
        UNSURE = "unsure", _("unclear")
        CRASHED = "crashed", _("interrupted")

    delivery = models.ForeignKey(
        Delivery, models.CASCADE, related_name="log", verbose_name=_("delivery")
    )
    number = models.PositiveSmallIntegerField(_("try"))
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    duration_ms = models.PositiveIntegerField(_("took (ms)"), null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome)
    cause = models.CharField(_("cause"), max_length=60, blank=True)
    http_status = models.PositiveSmallIntegerField(_("answer"), null=True, blank=True)
    note = models.CharField(_("note"), max_length=1000, blank=True)
    exchanges = models.JSONField(_("exchanges"), default=list, blank=True)
    mapping_version = models.PositiveIntegerField(_("mapping version"), null=True, blank=True)
    worker = models.CharField(_("worker"), max_length=80, blank=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ("started_at", "pk")

    def __str__(self) -> str:
        return f"{self.delivery_id} #{self.number} {self.outcome}"


class BulkRetry(models.Model):
    """A person asked to retry many deliveries at once; the worker does it in small steps."""

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        CANCELED = "canceled", _("canceled")

    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("asked by"),
    )
    asked_at = models.DateTimeField(_("asked"), default=timezone.now)
    filters = models.JSONField(_("which"), default=dict)
    planned = models.PositiveIntegerField(_("planned"), default=0)
    released = models.PositiveIntegerField(_("released"), default=0)
    last_id = models.BigIntegerField(default=0)
    up_to_id = models.BigIntegerField(default=0)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        verbose_name = _("bulk retry")
        verbose_name_plural = _("bulk retries")
        ordering = ("-asked_at",)

    def __str__(self) -> str:
        return f"{self.released}/{self.planned}"
