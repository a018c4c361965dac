"""What the API itself remembers: answers to requests that must not be carried out twice."""

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models.functions import Now

KEPT = timedelta(hours=24)


class AnswerQuerySet(models.QuerySet["Answer"]):
    """States of answers."""

    def expired(self) -> "AnswerQuerySet":
        """Those that the periodic work removes."""
        return self.filter(created__lte=Now() - KEPT)


class Answer(models.Model):
    """The answer to a POST with an Idempotency-Key, written in the transaction of its effect."""

    uncaptured = "a copy of what was answered, secrets included"

    digest = models.BinaryField(primary_key=True, help_text="Of whoever asked, and their key.")
    fingerprint = models.BinaryField(help_text="Of method, address and body.")
    status = models.IntegerField()
    headers: "models.JSONField[dict[str, str], Any]" = models.JSONField()
    body = models.BinaryField(help_text="Sealed: answers may hold tokens.")
    created = models.DateTimeField(db_default=Now(), db_index=True)

    objects = AnswerQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.status} of {self.created:%Y-%m-%d %H:%M:%S}"
