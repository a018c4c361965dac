"""The known state of the copies of our objects at a provider."""

from django.db import models
from django.db.models.functions import Now

from lockstep.changes.models import UUID7
from lockstep.conf import HAS_CHANGE_LOG

__all__ = ["Import", "RemoteObject"]


class RemoteObject(models.Model):
    """The copy of one object of ours in one collection of a provider.

    The provider's id is data, not identity: it may be missing, repeat, or be assigned to another object after a
    deletion, so it has no unique constraint; it belongs to the latest object that got it. *Acknowledged* is a
    successful response of the provider, *verified* the copy that was read afterwards. Some providers do not persist
    writes.
    """

    pk = models.CompositePrimaryKey("object_id", "collection")
    object_id = models.UUIDField()
    collection = models.TextField(help_text='"<provider>/<collection>"')
    remote_id = models.TextField(null=True)
    intent = models.JSONField(null=True, help_text="The last write that was sent and has no response.")
    acknowledged = models.UUIDField(null=True, help_text="MD5 of the acknowledged body; null: acknowledged as deleted.")
    acknowledged_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True, help_text="When the acknowledged state was seen at the provider.")
    unkept_at = models.DateTimeField(null=True, help_text="When an acknowledged copy was not found.")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)
        indexes = [
            models.Index(fields=["remote_id", "collection"], name="lockstep_mirror_remote_id"),
            models.Index(
                fields=["collection"], condition=models.Q(intent__isnull=False), name="lockstep_mirror_intent"
            ),
            models.Index(
                fields=["collection"],
                condition=models.Q(verified_at__gt=models.F("acknowledged_at")),
                name="lockstep_mirror_kept",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.collection}/{self.remote_id} = {self.object_id}"


class SentWrite(models.Model):
    """A write that may take effect late, twice or not at all; it is kept for a day, and compared with listings.

    Every creation; updates and deletions with an unknown outcome; and each copy that was deleted or is missing, with
    its id at the provider. Differences because of these are no drift.
    """

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    at = models.DateTimeField(db_default=Now())
    collection = models.TextField(help_text='"<provider>/<collection>"')
    object_id = models.UUIDField()
    kind = models.TextField(choices=[("create", "create"), ("update", "update"), ("delete", "delete")])
    remote_id = models.TextField(null=True)
    fingerprint = models.UUIDField(null=True, help_text="MD5 of the sent body, or of the deleted copy.")
    answered = models.BooleanField(db_default=False)

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)
        indexes = [
            models.Index(fields=["object_id"], name="lockstep_mirror_sent_object"),
            models.Index(fields=["collection"], condition=models.Q(answered=False), name="lockstep_mirror_unanswered"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.collection}/{self.remote_id}"


class MirrorState(models.Model):
    """When a provider is read, and whether its repair has stopped for an operator: one row each."""

    provider = models.TextField(primary_key=True)
    looked_at = models.DateTimeField(null=True, help_text="When the last read of its lists began.")
    look_at = models.DateTimeField(null=True, help_text="When the next read is due.")
    shrunk_at = models.DateTimeField(null=True, help_text="When it began to lack many copies.")
    stopped_at = models.DateTimeField(null=True, help_text="When the repair stopped for an operator.")
    reason = models.TextField(blank=True, db_default="")

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)

    def __str__(self) -> str:
        return f"{self.provider}: {self.reason or 'ok'}"


class Import(models.Model):
    """One import from a provider."""

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    provider = models.TextField()
    began = models.DateTimeField(db_default=Now())
    completed = models.DateTimeField(null=True)
    report = models.JSONField(default=dict)

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)

    def __str__(self) -> str:
        return f"{self.provider} {self.began:%Y-%m-%d %H:%M}"


class DriftCheck(models.Model):
    """The result of a drift check."""

    id = models.UUIDField(primary_key=True, db_default=UUID7())
    provider = models.TextField()
    at = models.DateTimeField(db_default=Now())
    counts = models.JSONField(help_text='{"create": n, "update": n, "delete": n, "not_persisted": n}')

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)

    def __str__(self) -> str:
        return f"{self.provider} {self.at:%Y-%m-%d %H:%M} {self.counts}"
