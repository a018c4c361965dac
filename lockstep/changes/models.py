"""The change log, as Django sees it. The table itself is sql/schema.sql."""

from django.db import models


class ChangeQuerySet(models.QuerySet["Change"]):
    """Reads of the log."""

    def history(self, object_id: object) -> "ChangeQuerySet":
        """All changes of one object, oldest first."""
        return self.filter(object_id=str(object_id)).order_by("seq")


class Change(models.Model):
    """One committed change of one object. Append-only: the database refuses edits."""

    class Kind(models.TextChoices):
        CREATED = "created"
        UPDATED = "updated"
        DELETED = "deleted"

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(help_text="When it was written, by the database's clock.")
    model = models.TextField(help_text='The model\'s label, such as "posts.post".')
    object_id = models.TextField()
    kind = models.TextField(choices=Kind)
    before = models.JSONField(null=True, help_text="Captured columns before; null when the object was not there.")
    after = models.JSONField(null=True, help_text="Captured columns after; null when the object is gone.")
    actor = models.TextField(null=True, help_text='Who: "user:<id>"; null when written past the application.')
    origin = models.TextField(null=True, help_text="The provider that it was imported from; null for our own.")
    trace = models.TextField(null=True, help_text="The request or command that it belongs to.")

    objects = ChangeQuerySet.as_manager()

    class Meta:
        db_table = "changes_change"
        ordering = ("seq",)

    def __str__(self) -> str:
        return f"{self.seq} {self.model} {self.object_id} {self.kind}"
