"""Webhook endpoints, each with a subscription of its own."""

from typing import TYPE_CHECKING

import pgtrigger
from django.apps import apps
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from lockstep.changes.capture import capture
from lockstep.changes.models import UUID7
from lockstep.conf import HAS_CHANGE_LOG
from lockstep.sql import statements

__all__ = ["Endpoint"]

if TYPE_CHECKING:
    from lockstep.rest.users import AnyUser

if not apps.is_installed("pgtrigger"):
    raise ImproperlyConfigured('lockstep.webhooks needs "pgtrigger" in INSTALLED_APPS: a trigger counts versions.')
TRIGGERS = statements(__file__, "triggers")
FAMILY = "webhook"  # of subscriptions, one for each endpoint
SECRETS = "lockstep webhook secrets"  # the purpose of their encryption


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    """Filters of endpoints."""

    def alive(self) -> "EndpointQuerySet":
        """Endpoints that are not deleted."""
        return self.filter(deleted=None)

    def of(self, user: "AnyUser") -> "EndpointQuerySet":
        """Endpoints of one user."""
        return self.filter(owner=user)


# Not the URL: paths and parameters of webhook receivers are often secrets.
@capture("owner_id", "description", "events", "disabled", "reason", readers="owner_id", soft_delete="deleted")
class Endpoint(models.Model):
    """A URL that receives changes. Its pending messages, attempts and dead letters are in delivery.

    A deleted one is kept without its subscription; with the row of its owner it is gone.
    """

    id = models.UUIDField(primary_key=True, editable=False, default=uuid7, db_default=UUID7())
    created = models.DateTimeField(editable=False, db_default=Now())
    updated = models.DateTimeField(editable=False, db_default=Now())
    deleted = models.DateTimeField(editable=False, null=True, default=None)
    # Incremented by a trigger at every change of the row. The ETag is made of it.
    version = models.BigIntegerField(editable=False, db_default=1)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhooks")
    url = models.TextField()
    description = models.TextField(blank=True, db_default="")
    events = ArrayField(models.TextField(), help_text='Patterns such as "posts.post.*".')
    secret = models.BinaryField(editable=False, help_text="Encrypted; see encryption.py.")
    old_secrets = ArrayField(
        models.BinaryField(),
        editable=False,
        db_default=[],
        help_text="Encrypted; each signs, too, until its end.",
    )
    old_secrets_until = ArrayField(models.DateTimeField(), editable=False, db_default=[])
    failing_since = models.DateTimeField(editable=False, null=True, help_text="First failure since the last success.")
    disabled = models.DateTimeField(editable=False, null=True)
    reason = models.TextField(blank=True, db_default="", help_text="Why it is disabled.")

    objects = EndpointQuerySet.as_manager()

    class Meta:
        required_db_features = (HAS_CHANGE_LOG,)
        triggers = [
            pgtrigger.Trigger(
                name="touch",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange(),
                func=TRIGGERS["bump_version"],
            )
        ]
        indexes = [models.Index(fields=["owner", "-id"], name="lockstep_webhooks_endpoint_of")]

    def __str__(self) -> str:
        return f"{self.id} of {self.owner_id}"

    @property
    def subscription(self) -> str:
        """The name of its subscription."""
        return f"{FAMILY}:{self.id}"
