"""What we know of the copies of our objects at a provider."""

from django.db import models
from django.db.models.functions import Now

from lockstep.changes.entities import UUID7


class RemoteObject(models.Model):
    """The copy of one object of ours in one collection of a provider.

    The provider's id is data, not identity: it may be missing, repeat, or be given to another object after a deletion,
    so it has no unique constraint; the latest object that got it has it. *Acknowledged* is what the provider said
    yes to, *verified* what it was seen to have afterwards. Some providers say yes and forget.
    """

    pk = models.CompositePrimaryKey("object_id", "collection")
    object_id = models.UUIDField()
    collection = models.TextField(help_text='"<provider>/<collection>"')
    remote_id = models.TextField(null=True)
    intent = models.JSONField(null=True, help_text="What we last began to send and have no answer to.")
    acknowledged = models.UUIDField(null=True, help_text="MD5 of the acknowledged body; null: acknowledged as deleted.")
    acknowledged_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True, help_text="When the acknowledged state was seen at the provider.")
    unkept_at = models.DateTimeField(null=True, help_text="When it was looked for and not found there.")

    class Meta:
        indexes = [
            models.Index(fields=["remote_id", "collection"], name="mirror_remote_id"),
            models.Index(fields=["collection"], condition=models.Q(intent__isnull=False), name="mirror_intent"),
            models.Index(
                fields=["collection"],
                condition=models.Q(verified_at__gt=models.F("acknowledged_at")),
                name="mirror_kept",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.collection}/{self.remote_id} = {self.object_id}"


class SentWrite(models.Model):
    """A write whose effect may come late, twice or not at all: kept for a day, and compared with what is seen there.

    Every creation; an update or a deletion without a clear answer; and each copy of ours that was deleted, or was not
    found any more, with its id there. What differs because of these is no drift by others' hands.
    """

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    at = models.DateTimeField(db_default=Now())
    collection = models.TextField(help_text='"<provider>/<collection>"')
    object_id = models.UUIDField()
    kind = models.TextField(choices=[("create", "create"), ("update", "update"), ("delete", "delete")])
    remote_id = models.TextField(null=True)
    fingerprint = models.UUIDField(null=True, help_text="MD5 of what was sent, or of the copy that was deleted.")
    answered = models.BooleanField(db_default=False)

    class Meta:
        indexes = [
            models.Index(fields=["object_id"], name="mirror_sent_object"),
            models.Index(fields=["collection"], condition=models.Q(answered=False), name="mirror_unanswered"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.collection}/{self.remote_id}"


class MirrorState(models.Model):
    """When a provider is looked at, and whether its mending has stopped for a person: one row each."""

    provider = models.TextField(primary_key=True)
    looked_at = models.DateTimeField(null=True, help_text="When the last look at its lists began.")
    look_at = models.DateTimeField(null=True, help_text="When it is to be looked at again.")
    shrunk_at = models.DateTimeField(null=True, help_text="Since when it shows much less than it had.")
    stopped_at = models.DateTimeField(null=True, help_text="Since when a person has to decide.")
    reason = models.TextField(blank=True, db_default="")

    def __str__(self) -> str:
        return f"{self.provider}: {self.reason or 'ok'}"


class Import(models.Model):
    """One import from a provider, so that the next one and `make run` know whether there was one."""

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    provider = models.TextField()
    began = models.DateTimeField(db_default=Now())
    completed = models.DateTimeField(null=True)
    report = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.provider} {self.began:%Y-%m-%d %H:%M}"


class DriftCheck(models.Model):
    """What a periodic look at a provider found."""

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    provider = models.TextField()
    at = models.DateTimeField(db_default=Now())
    counts = models.JSONField(help_text='{"create": n, "update": n, "delete": n, "unkept": n}')

    def __str__(self) -> str:
        return f"{self.provider} {self.at:%Y-%m-%d %H:%M} {self.counts}"
