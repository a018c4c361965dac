from django.conf import settings
from django.db import models
from project.people.models import Person

from lockstep import Visibility, capture


class Editor(Person):
    """A user whose `is_active` is in the table of its parent."""


@capture("owner_id", "state", "text", readers=Visibility("state", "public", "owner_id"), soft_delete="removed")
class Draft(models.Model):
    """Its owner reads it, and everyone once it is public."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    state = models.TextField(default="private")
    text = models.TextField()
    removed = models.DateTimeField(null=True)
    version = models.BigIntegerField(default=1)
