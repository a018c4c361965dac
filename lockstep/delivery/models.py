"""The tables of delivery: subscriptions, lanes, deliveries, dead letters, periodic work. The hot path is in sql/."""

from django.db import models
from django.db.models.functions import Now

from lockstep.changes.models import UUID7
from lockstep.conf import HAS_CHANGE_LOG

__all__ = ["Subscription"]


class TextArrayField(models.Field):  # type: ignore[type-arg]  # Django's fields take none at run time
    """A list of strings, as text[]. Django's own field cannot be imported where there is no psycopg."""

    def db_type(self, connection: object) -> str:
        return "text[]"


class SnapshotField(models.TextField):  # type: ignore[type-arg]  # Django's fields take none at run time
    """PostgreSQL's pg_snapshot: which transactions are visible."""

    def db_type(self, connection: object) -> str:
        return "pg_snapshot"


class CurrentSnapshot(models.Func):
    """The snapshot of the statement that stores it."""

    template = "pg_current_snapshot()"
    output_field = SnapshotField()


class DrawnToken(models.Func):
    """A new random fencing token."""

    template = "lockstep_draw_token()"
    output_field = models.BigIntegerField()


class NewPlace(models.Func):
    """The id of a new place, which starts at the snapshot of the statement that stores it."""

    template = "lockstep_new_place()"
    output_field = models.BigIntegerField()


class Place(models.Model):
    """How far the change log is fanned out; active subscriptions at the same position share one place.

    A subscription that becomes anything but active gets a place of its own (sql/relay.sql says why).
    """

    id = models.BigAutoField(primary_key=True)
    token = models.BigIntegerField(db_default=DrawnToken(), help_text="Changes whenever it moves or gains members.")
    window_start = SnapshotField(db_default=CurrentSnapshot(), help_text="All that it shows is fanned out.")
    window_end = SnapshotField(null=True, help_text="Set while a window is fanned out in chunks.")
    window_seq = models.BigIntegerField(null=True, help_text="Where in the window the next chunk starts.")
    window_last = models.BigIntegerField(null=True, help_text="The last seq of the window.")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)

    def __str__(self) -> str:
        return f"{self.id}: {self.window_start}"


class Subscription(models.Model):
    """A subscription to changes: which ones, how they are delivered, and its state."""

    class Kind(models.TextChoices):
        EVENT = "event", "every change, in order"
        STATE = "state", "only the latest state counts"

    class State(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused", "nothing is delivered until an operator resumes it"
        BACKPRESSURED = "full", "at its cap: no fan-out until half of the waiting changes are delivered"
        DISABLED = "disabled", "nothing is fanned out or kept"

    name = models.TextField(primary_key=True)
    kind = models.TextField(choices=Kind)
    follows = TextArrayField(help_text='Patterns such as "blog.article.*".')
    skip_origin = models.TextField(null=True, help_text="Changes of this origin are not delivered: no echo.")
    state = models.TextField(choices=State, db_default=State.ACTIVE)
    reason = models.TextField(blank=True, db_default="", help_text="Why it is not active.")
    paused = models.TextField(null=True, help_text="Why an operator paused it; also kept while it is disabled.")
    place = models.ForeignKey(Place, on_delete=models.PROTECT, db_default=NewPlace(), db_index=False)
    cap = models.BigIntegerField(db_default=1_000_000, help_text="At so many waiting changes fan-out stops.")
    placed = models.BigIntegerField(db_default=0, help_text="Changes fanned out since the last count.")
    keeps_log = models.BooleanField(db_default=True, help_text="Its dead letters keep their weeks of the log.")
    silent_since = models.DateTimeField(null=True, help_text="When its remote stopped answering.")
    silent_cause = models.TextField(blank=True, db_default="", help_text="The remote's latest failure.")
    replaced = TextArrayField(db_default=[], help_text="Declarations that a later version of the code replaced.")
    created = models.DateTimeField(db_default=Now())

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)
        permissions = [("operate_subscription", "Can pause, resume, replay, discard and rewind subscriptions")]
        indexes = [
            models.Index(fields=["place"], condition=models.Q(state="active"), name="lockstep_subscription_standing"),
        ]

    def __str__(self) -> str:
        return self.name


class Lane(models.Model):
    """The queue of one subscription for one object; deleted when it is empty."""

    id = models.BigAutoField(primary_key=True)
    # No constraint in the database: checking it for each new lane halves the rate of the fan-out.
    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    model = models.TextField()
    object_id = models.TextField()
    next_at = models.DateTimeField(
        db_default=Now(), help_text="When it may be claimed: due time, retry or end of lease."
    )
    token = models.BigIntegerField(db_default=0, help_text="Fencing token of the latest claim.")
    attempts = models.IntegerField(db_default=0, help_text="Failed attempts since the last success.")
    failure = models.TextField(null=True, help_text="How the last attempt failed; null while claimed or due.")
    cause = models.TextField(null=True, help_text="The failure's message.")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)
        constraints = [
            models.UniqueConstraint(fields=["subscription", "model", "object_id"], name="lockstep_lane_object")
        ]
        indexes = [
            models.Index(fields=["subscription", "next_at"], name="lockstep_lane_due"),
            models.Index(  # lanes that wait for an unreachable remote
                fields=["subscription", "next_at"],
                condition=models.Q(failure="unreachable"),
                name="lockstep_lane_waiting",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subscription_id}: {self.model} {self.object_id}"


class Delivery(models.Model):
    """One change that waits in a lane."""

    pk = models.CompositePrimaryKey("lane_id", "seq")
    lane = models.ForeignKey(Lane, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    seq = models.BigIntegerField()
    at = models.DateTimeField(help_text="The change's own time, for its partition.")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)

    def __str__(self) -> str:
        return f"{self.seq} in lane {self.lane_id}"


class DeadLetter(models.Model):
    """A change that could not be delivered. It is open until it is replayed or discarded, and kept after that."""

    class Outcome(models.TextChoices):
        REPLAYED = "replayed", "sent again"
        DISCARDED = "discarded", "discarded for good"

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE)
    model = models.TextField()
    object_id = models.TextField()
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    message_id = models.UUIDField()
    attempts = models.IntegerField()
    cause = models.TextField()
    died = models.DateTimeField(db_default=Now())
    outcome = models.TextField(choices=Outcome, null=True, help_text="Null while it is open.")
    reason = models.TextField(blank=True, db_default="", help_text="Why it was discarded.")
    settled = models.DateTimeField(null=True)

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)
        indexes = [
            models.Index(fields=["subscription", "died"], condition=models.Q(outcome=None), name="lockstep_dead_open"),
        ]

    def __str__(self) -> str:
        return f"{self.subscription_id}: {self.model} {self.object_id} ({self.cause})"


class Attempt(models.Model):
    """One attempt to deliver one change, for subscriptions that record them; kept for ATTEMPT_RETENTION_DAYS."""

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    message_id = models.UUIDField()
    model = models.TextField()
    object_id = models.TextField()
    kind = models.TextField()
    seq = models.BigIntegerField()
    at = models.DateTimeField(help_text="The change's own time.")
    number = models.IntegerField(help_text="1 for the first attempt.")
    began = models.DateTimeField()
    seconds = models.FloatField()
    failure = models.TextField(null=True, help_text="How it failed; null when it was delivered.")
    cause = models.TextField(null=True, help_text="The failure's message.")
    receipt = models.JSONField(null=True, help_text="The handler's record of it.")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)
        indexes = [
            models.Index(fields=["subscription", "id"], name="lockstep_attempt_latest"),
            models.Index(fields=["message_id"], name="lockstep_attempt_message"),
            models.Index(
                fields=["subscription", "id"], condition=models.Q(failure__isnull=False), name="lockstep_attempt_failed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message_id}, attempt {self.number}"


class Epoch(models.Model):
    """One epoch of the database. The id of the first is part of every message id.

    Transaction ids mean nothing in another cluster, so a restored dump must not continue with the old places.
    """

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    number = models.IntegerField(unique=True, help_text="1 for the first. Unlike a clock it never steps back.")
    system_identifier = models.TextField(help_text="The cluster.")
    timeline = models.IntegerField(help_text="The cluster's timeline, which changes with a promotion or a recovery.")
    began = models.DateTimeField(db_default=Now())
    dropped = models.BigIntegerField(null=True, help_text="The last transaction of the dropped weeks.")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)

    def __str__(self) -> str:
        return str(self.id)


class PeriodicTask(models.Model):
    """When a piece of periodic work is next due, over all workers."""

    name = models.TextField(primary_key=True)
    next_at = models.DateTimeField(db_default=Now())

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)

    def __str__(self) -> str:
        return f"{self.name} at {self.next_at}"


class WorkerHeartbeat(models.Model):
    """A worker's heartbeat, renewed every two seconds (sql/heartbeat.sql)."""

    id = models.UUIDField(primary_key=True)
    seen = models.DateTimeField()
    complaint = models.TextField(help_text="Its stalled parts.")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)

    def __str__(self) -> str:
        return f"{self.id} at {self.seen}"


class ProviderMinute(models.Model):
    """The operations of one provider within a minute that ended in one way, from all workers; kept for a day."""

    pk = models.CompositePrimaryKey("provider", "at", "outcome")
    provider = models.TextField()
    at = models.DateTimeField(help_text="The minute.")
    outcome = models.TextField(help_text="The kind of error (lockstep/http/errors.py); empty for a success.")
    operations = models.BigIntegerField()
    seconds = models.FloatField(help_text="The time of all of them.")
    slowest = models.FloatField(help_text="The longest time of one, in seconds.")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)

    def __str__(self) -> str:
        return f"{self.provider} {self.at:%H:%M} {self.outcome or 'success'}: {self.operations}"
