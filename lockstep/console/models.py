"""The tables of the console: operations of operators and of owners of endpoints, a day of samples, and runs."""

from django.db import models
from django.db.models.functions import Now

from lockstep.changes.capture import capture
from lockstep.changes.models import UUID7
from lockstep.conf import HAS_CHANGE_LOG

MAX_LAG = 1e12  # seconds


@capture("at", "actor", "kind", "subscription", "parameters", "outcome")
class Operation(models.Model):
    """One operation of a page, written in its transaction; kept for RETENTION_DAYS.

    Its id comes with the form, so that it is done once.
    """

    json_schemas = {"parameters": {"type": "object", "description": "The values of the form, by name."}}

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    at = models.DateTimeField(db_default=Now(), db_index=True)
    actor = models.TextField(help_text='"user:<key>"')
    kind = models.TextField(help_text='Such as "pause".')
    subscription = models.TextField(blank=True, db_default="", help_text="Empty where it concerns none.")
    parameters = models.JSONField(default=dict)
    outcome = models.TextField(help_text="What it did, as a sentence.")
    by_owner = models.BooleanField(db_default=False, help_text="Done on the pages for owners of webhook endpoints.")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)
        indexes = [
            models.Index(fields=["subscription", "-at", "-id"], name="lockstep_console_operation_of"),
            models.Index(fields=["by_owner", "-at", "-id"], name="lockstep_console_operation_by"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subscription} by {self.actor}: {self.outcome}"


class Sample(models.Model):
    """What waited at one minute: one row for the log, with an empty name, and one for each subscription or family."""

    uncaptured = "a measurement, kept for a day"

    pk = models.CompositePrimaryKey("name", "at")
    name = models.TextField(help_text="The subscription or the family; empty for the log.")
    at = models.DateTimeField(help_text="The minute.")
    position = models.BigIntegerField(null=True, help_text="The log's last seq; null for a subscription.")
    waiting = models.BigIntegerField(help_text="Changes that were not delivered; for the log, of all subscriptions.")
    failing = models.BigIntegerField(help_text="Objects whose last attempt failed.")
    dead = models.BigIntegerField(help_text="Open dead letters.")
    lag = models.FloatField(help_text="Seconds since the oldest change that was not delivered.")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)
        constraints = [
            # PostgreSQL sorts NaN above every number.
            models.CheckConstraint(name="lockstep_console_lag", condition=models.Q(lag__range=(0.0, MAX_LAG))),
        ]

    def __str__(self) -> str:
        return f"{self.name or 'log'} {self.at:%H:%M}: {self.waiting} waiting"


class Run(models.Model):
    """Long work that an operator requested, which a worker does: a plan, its application, an audit.

    One at a time for each mirror, and one audit. A worker holds it by a lease; `attempts` counts the claims, and a
    worker whose number it is no longer has lost it.
    """

    uncaptured = "the progress of work; that it was requested is an operation, which is captured"

    class Kind(models.TextChoices):
        PLAN = "plan"
        APPLY = "apply"
        AUDIT = "audit"

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    OPEN = (State.WAITING, State.RUNNING)

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    kind = models.TextField(choices=Kind)
    mirror = models.TextField(help_text="The mirror's provider; empty for an audit.")
    plan = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, help_text="What is applied.")
    parameters = models.JSONField(default=dict)
    actor = models.TextField(help_text='"user:<key>"')
    requested_at = models.DateTimeField(db_default=Now())
    state = models.TextField(choices=State, db_default=State.WAITING)
    attempts = models.IntegerField(db_default=0)
    lease_until = models.DateTimeField(null=True)
    began = models.DateTimeField(null=True)
    ended = models.DateTimeField(null=True)
    step = models.TextField(blank=True, db_default="", help_text="What is being done.")
    done = models.BigIntegerField(db_default=0)
    total = models.BigIntegerField(null=True, help_text="Null where it is not known.")
    outcome = models.TextField(blank=True, db_default="", help_text="How it ended, as a sentence.")
    summary = models.JSONField(default=dict)

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)
        indexes = [models.Index(fields=["mirror", "id"], name="lockstep_console_run_mirror")]
        constraints = [
            models.UniqueConstraint(
                fields=["mirror"], name="lockstep_console_run_one",
                condition=models.Q(state__in=("waiting", "running")),
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.kind} {self.mirror} {self.state}"

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state in self.OPEN


class Difference(models.Model):
    """One difference that a run has found, or applies; in an audit an object that differs."""

    uncaptured = "the result of a run"

    pk = models.CompositePrimaryKey("run_id", "number")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False)
    number = models.IntegerField()
    kind = models.TextField(help_text="create, update, delete or not_persisted; in an audit: differs.")
    collection = models.TextField(help_text="Of the mirror; in an audit the comparison.")
    model = models.TextField(blank=True)
    object_id = models.TextField(blank=True)
    name = models.TextField(blank=True, help_text="How people call the object.")
    remote_id = models.TextField(blank=True)
    fields = models.JSONField(default=list, help_text='[{"field": …, "there": …, "here": …}]')
    is_own = models.BooleanField(default=False, help_text="An effect of our own writes, which workers mend.")
    signature = models.UUIDField(null=True, help_text="MD5 of the whole difference.")
    outcome = models.TextField(blank=True, help_text="What came of it when it was applied.")
    failed = models.BooleanField(default=False)

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)

    def __str__(self) -> str:
        return f"{self.kind} {self.collection} {self.name}"
