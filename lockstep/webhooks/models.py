"""Endpoints of people outside, each with a subscription of its own in delivery."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from lockstep.changes.capture import capture
from lockstep.changes.entities import TOUCH, AliveParent, Entity, EntityQuerySet, Somebody

FAMILY = "webhook"  # of subscriptions, one for each endpoint
SECRETS = "lockstep webhook secrets"  # what they are sealed for


class EndpointQuerySet(EntityQuerySet["Endpoint"]):
    """Reads of endpoints."""

    def of(self, user: Somebody) -> "EndpointQuerySet":
        """Those of one user."""
        return self.filter(owner=user)


class Endpoint(Entity):
    """A URL that is told of changes. What waits for it, its attempts and its dead letters are delivery's."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhooks")
    url = models.TextField()
    description = models.TextField(blank=True, db_default="")
    events = ArrayField(models.TextField(), help_text='Patterns such as "posts.post.*".')
    secret = models.BinaryField(editable=False, help_text="Sealed; see sealing.py.")
    old_secrets = ArrayField(
        models.BinaryField(),
        editable=False,
        db_default=[],
        help_text="Sign beside the new one, each until its own end.",
    )
    old_secrets_until = ArrayField(models.DateTimeField(), editable=False, db_default=[])
    failing_since = models.DateTimeField(editable=False, null=True, help_text="First failure since the last success.")
    disabled = models.DateTimeField(editable=False, null=True)
    reason = models.TextField(blank=True, db_default="", help_text="Why it is disabled.")

    objects = EndpointQuerySet.as_manager()

    class Meta:
        # Not the URL: paths and parameters of webhook receivers are often secrets.
        triggers = [
            *capture("owner_id", "description", "events", "disabled", "reason", readers="owner_id"),
            TOUCH,
            *AliveParent.of("owner"),
        ]
        indexes = [models.Index(fields=["owner", "-id"], name="webhooks_endpoint_of")]

    def __str__(self) -> str:
        return f"{self.id} of {self.owner_id}"

    @property
    def subscription(self) -> str:
        """The name of its subscription."""
        return f"{FAMILY}:{self.id}"
