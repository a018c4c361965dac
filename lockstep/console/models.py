"""The tables of the console: what operators did, and a day of samples."""

from django.db import models
from django.db.models.functions import Now

from lockstep.changes.capture import capture
from lockstep.changes.models import UUID7
from lockstep.conf import HAS_CHANGE_LOG

MAX_LAG = 1e12  # seconds


@capture("at", "actor", "kind", "subscription", "parameters", "outcome")
class Operation(models.Model):
    """One operation of an operator, written in its transaction. Its id comes with the form, so that it is done once."""

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    at = models.DateTimeField(db_default=Now(), db_index=True)
    actor = models.TextField(help_text='"user:<key>"')
    kind = models.TextField(help_text='Such as "pause".')
    subscription = models.TextField(blank=True, db_default="", help_text="Empty where it concerns none.")
    parameters = models.JSONField(default=dict)
    outcome = models.TextField(help_text="What it did, as a sentence.")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)

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
