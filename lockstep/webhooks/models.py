"""Webhook endpoints, each with a subscription of its own."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from lockstep.changes.capture import capture
from lockstep.rest.entities import BUMP_VERSION, AliveParent, AnyUser, Entity, EntityQuerySet

FAMILY = "webhook"  # of subscriptions, one for each endpoint
SECRETS = "lockstep webhook secrets"  # the purpose of their encryption


class EndpointQuerySet(EntityQuerySet["Endpoint"]):
    """Filters of endpoints."""

    def of(self, user: AnyUser) -> "EndpointQuerySet":
        """Endpoints of one user."""
        return self.filter(owner=user)


@capture("owner_id", "description", "events", "disabled", "reason", readers="owner_id", soft_delete="deleted")
class Endpoint(Entity):
    """A URL that receives changes. Its pending messages, attempts and dead letters are in delivery."""

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
        # Not the URL: paths and parameters of webhook receivers are often secrets.
        triggers = [
            BUMP_VERSION,
            *AliveParent.of("owner"),
        ]
        indexes = [models.Index(fields=["owner", "-id"], name="lockstep_webhooks_endpoint_of")]

    def __str__(self) -> str:
        return f"{self.id} of {self.owner_id}"

    @property
    def subscription(self) -> str:
        """The name of its subscription."""
        return f"{FAMILY}:{self.id}"
