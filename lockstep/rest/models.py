"""Stored responses to requests that must not be carried out twice."""

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models.functions import Now

IDEMPOTENCY_TTL = timedelta(hours=24)


class IdempotencyRecordQuerySet(models.QuerySet["IdempotencyRecord"]):
    """Filters of idempotency records."""

    def expired(self) -> "IdempotencyRecordQuerySet":
        """Records that the periodic work removes."""
        return self.filter(created__lte=Now() - IDEMPOTENCY_TTL)


class IdempotencyRecord(models.Model):
    """The response to a POST with an Idempotency-Key, written in the transaction of its effect."""

    uncaptured = "a copy of a response, secrets included"

    digest = models.BinaryField(primary_key=True, help_text="Digest of the caller and the key.")
    fingerprint = models.BinaryField(help_text="Digest of method, path and body.")
    status = models.IntegerField()
    headers: "models.JSONField[dict[str, str], Any]" = models.JSONField()
    body = models.BinaryField(help_text="Encrypted: responses may hold tokens.")
    created = models.DateTimeField(db_default=Now(), db_index=True)

    objects = IdempotencyRecordQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.status} of {self.created:%Y-%m-%d %H:%M:%S}"
