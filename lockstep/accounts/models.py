"""Users and the tokens that they sign in with."""

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from lockstep.changes.capture import capture
from lockstep.changes.entities import TOUCH, Entity, number_field


class User(Entity, AbstractUser):
    """Somebody who may sign in. `number` is what outside systems call them by."""

    number = number_field("accounts_user_number")

    objects = UserManager()  # type: ignore[misc]  # the stubs know two bases

    class Meta(AbstractUser.Meta):
        abstract = False
        triggers = [
            *capture("number", "username", "email", "first_name", "last_name", "is_active", "is_staff"),
            TOUCH,
        ]


class TokenQuerySet(models.QuerySet["Token"]):
    """States of tokens."""

    def valid(self) -> "TokenQuerySet":
        """Those that still open the door: not expired, and their user may sign in."""
        return self.filter(expires__gt=Now(), user__is_active=True, user__deleted=None)

    def expired(self) -> "TokenQuerySet":
        """Those that the periodic work removes."""
        return self.filter(expires__lte=Now())


class Token(models.Model):
    """An opaque bearer token. Only its SHA-256 is kept: the database cannot give it back."""

    uncaptured = "a credential: nothing of it may enter the change log"

    digest = models.BinaryField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    created = models.DateTimeField(db_default=Now())
    expires = models.DateTimeField(db_index=True)

    objects = TokenQuerySet.as_manager()

    def __str__(self) -> str:
        return f"token of {self.user_id} until {self.expires:%Y-%m-%d}"

    @staticmethod
    def digest_of(secret: str) -> bytes:
        """Tokens are 256 random bits, so a fast hash is enough: there is nothing to guess."""
        return hashlib.sha256(secret.encode()).digest()

    @classmethod
    def issue(cls, user: User) -> str:
        """A new token for this user, valid for TOKEN_DAYS; shown now and never again."""
        secret = secrets.token_urlsafe(32)
        expires = timezone.now() + timedelta(days=settings.TOKEN_DAYS)
        cls.objects.create(digest=cls.digest_of(secret), user=user, expires=expires)
        return secret
