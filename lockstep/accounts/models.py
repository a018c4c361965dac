"""Users, whom they follow, and the sessions and tokens that they sign in with."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pgtrigger
from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import connection, models, transaction
from django.db.models.functions import Coalesce, Now
from django.utils.deconstruct import deconstructible
from uuid_utils.compat import uuid7

from lockstep import text
from lockstep.accounts.entitlement import admin_actor, session_actor
from lockstep.api import endings
from lockstep.changes.attribution import Actor
from lockstep.changes.capture import capture
from lockstep.changes.entities import TOUCH, UUID7, AliveParent, Entity, EntityQuerySet, number_field
from lockstep.changes.folding import AddressField, Fold, NormalCharField, UsernameField
from lockstep.changes.sql_file import load

WITHDRAWAL = load(Path(__file__).parent / "sql" / "withdrawal.sql")

KEEP_SESSIONS = "SELECT set_config('lockstep.kept_sessions', %s, true)"
ALREADY_IN_USE = "Already in use."


class UserQuerySet(EntityQuerySet["User"]):
    """Reads of users."""

    def named(self, name: str) -> "UserQuerySet":
        """The user who signs in by this name: a username or an e-mail address, in any equal spelling."""
        if len(name) > text.MAX_ADDRESS:
            return self.none()
        name = text.name_or_address(name)
        by_name = models.Q(username__iexact=name)
        if "@" not in name:
            return self.filter(by_name)
        # Written as the index is: of addresses that are in use.
        return self.filter(by_name | (models.Q(email__iexact=name, deleted=None) & ~models.Q(email="")))

    def followers_of(self, user: "User") -> "UserQuerySet":
        """Who follows this user."""
        return self.filter(follows__followed=user, follows__deleted=None)

    def followed_by(self, user: "User") -> "UserQuerySet":
        """Whom this user follows."""
        return self.filter(followings__follower=user, followings__deleted=None)

    def with_follow_counts(self) -> "UserQuerySet":
        """With `followers` and `following`: how many people who are still here."""
        return self.annotate(followers=_people("follower", "followed"), following=_people("followed", "follower"))


class PeopleManager(UserManager.from_queryset(UserQuerySet)):  # type: ignore[misc]  # made while it runs
    """Makes users with hashed passwords; reads are UserQuerySet's."""

    use_in_migrations = False

    def _create_user_object(self, *args: Any, **values: Any) -> "User":  # noqa: ANN401 - the base's arguments
        """Raises ValidationError for a name or an address that this user cannot have; `createsuperuser` comes here."""
        user: User = super()._create_user_object(*args, **values)
        user.clean()
        user.validate_constraints()
        return user


@deconstructible
class HandleValidator(UnicodeUsernameValidator):
    """Usernames are public: an e-mail address is none."""

    regex = r"^[\w.+-]+\Z"
    message = "Use letters, digits and . + - _ only. An e-mail address signs in as well, and is not shown to others."


@contextmanager
def keeping_sessions(kept: str) -> Iterator[None]:
    """A transaction in which a password is replaced without ending this session, by its id, or "all" of the account.

    Any other new password ends them all, whichever way it is written (sql/withdrawal.sql).
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(KEEP_SESSIONS, [kept])
        yield
        cursor.execute(KEEP_SESSIONS, [""])


class User(Entity, AbstractUser):
    """Somebody who may sign in. `number` is what outside systems call them by."""

    uncaptured_fields = {
        "groups": "rights in the admin, which has a history of its own",
        "user_permissions": "rights in the admin, which has a history of its own",
    }

    number = number_field("accounts_user_number")
    username = UsernameField(
        max_length=150,
        unique=True,
        validators=[HandleValidator()],
        help_text="Others see it. Letters, digits and . + - _ only.",
        error_messages={"unique": "A user with that username already exists."},
    )
    first_name = NormalCharField("first name", max_length=150, blank=True)
    last_name = NormalCharField("last name", max_length=150, blank=True)
    email = AddressField("email address", blank=True)

    objects = PeopleManager()  # type: ignore[misc]  # the stubs know two bases

    @classmethod
    def normalize_username(cls, username: Any) -> Any:  # noqa: ANN401 - the base's signature
        """As text.py has it: the base's takes the square of the length."""
        return text.nfkc(username) if isinstance(username, str) else username

    class Meta(AbstractUser.Meta):
        abstract = False
        constraints = [
            # Two names that are one to a reader are one.
            models.CheckConstraint(
                name="accounts_user_username_no_address",
                condition=~models.Q(username__contains="@"),
                violation_error_message=HandleValidator.message,
            ),
            models.UniqueConstraint(
                Fold("username"), name="accounts_user_username_ci", violation_error_message=ALREADY_IN_USE
            ),
            models.UniqueConstraint(
                Fold("email"),
                name="accounts_user_email_ci",
                condition=models.Q(deleted=None) & ~models.Q(email=""),
                violation_error_message=ALREADY_IN_USE,
            ),
            # One spelling of each domain, also where SQL writes it.
            models.CheckConstraint(
                name="accounts_user_email_domain",
                condition=models.Q(email__regex=r"^[^@]*$|@[ -~]*$"),
                violation_error_message="Must be a valid e-mail address.",
            ),
        ]
        triggers = [
            *capture("number", "username", "email", "first_name", "last_name", "is_active", "is_staff"),
            TOUCH,
            pgtrigger.Trigger(
                name="withdraw",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(WITHDRAWAL["is_withdrawal"]),
                func=WITHDRAWAL["withdraw"],
            ),
            pgtrigger.Trigger(
                name="close_sessions",
                when=pgtrigger.After,
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(WITHDRAWAL["ends_sign_in"]),
                func=WITHDRAWAL["close_sessions"],
            ),
        ]

    _is_made_unusable = False  # the password, and not saved yet

    def set_unusable_password(self) -> None:
        """Replaces the password by none: that replaces it as well."""
        super().set_unusable_password()
        self._is_made_unusable = True

    def save(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's arguments
        """Switches webhooks off when a password that was set is saved: by the admin, a command or a shell."""
        is_set = getattr(self, "_password", None) is not None or self._is_made_unusable
        replaced = is_set and not self._state.adding
        with transaction.atomic():
            super().save(*args, **options)
            if replaced:
                endings.password_replaced(self.pk)
        self._is_made_unusable = False

    def check_password(self, raw_password: str | None) -> bool:
        """Whether this is the password. A better hash of it is kept unless the password was replaced meanwhile."""

        def keep(raw: str) -> None:
            better = make_password(raw)
            with keeping_sessions("all"):
                kept = User.objects.filter(pk=self.pk, password=self.password).update(password=better)
            if kept:
                self.password = better

        return check_password(raw_password, self.password, keep)

    @property
    def admin_actor(self) -> Actor:
        """This user as the actor of a request of the admin (entitlement.py)."""
        return admin_actor(user=self.pk, password=self.password)


class Follow(Entity):
    """One user follows another."""

    follower = models.ForeignKey(User, models.CASCADE, related_name="follows")
    followed = models.ForeignKey(User, models.CASCADE, related_name="followings")

    objects = EntityQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "follower", "followed", name="accounts_follow_once", condition=models.Q(deleted=None)
            ),
            models.CheckConstraint(name="accounts_follow_others", condition=~models.Q(follower=models.F("followed"))),
        ]
        triggers = [
            *capture("follower_id", "followed_id", readers="follower_id"),
            TOUCH,
            *AliveParent.of("follower"),
            *AliveParent.of("followed"),
        ]

    def __str__(self) -> str:
        return f"{self.follower_id} follows {self.followed_id}"


class SessionQuerySet(models.QuerySet["Session"]):
    """States of sessions."""

    def open(self) -> "SessionQuerySet":
        """Those whose tokens open the door: neither revoked nor expired, and their user may sign in."""
        return self.filter(revoked=None, expires__gt=Now(), user__is_active=True, user__deleted=None)

    def of_token(self, secret: str, kind: "Token.Kind") -> "SessionQuerySet":
        """The one that this token hangs from, if the token has not expired."""
        digest = Token.digest_of(secret)
        return self.filter(tokens__digest=digest, tokens__kind=kind, tokens__expires__gt=Now())

    def revoke(self) -> int:
        """Closes them, with all their tokens; returns how many were open."""
        return self.filter(revoked=None).update(revoked=Now())

    def expired(self) -> "SessionQuerySet":
        """Those that the periodic work removes: nothing of them can be used, or misused, any more."""
        return self.filter(expires__lte=Now())


class Session(models.Model):
    """One sign-in. All tokens that come of it hang from it, so that revoking it closes them at once."""

    uncaptured = "a credential: nothing of it may enter the change log"

    id = models.UUIDField(primary_key=True, editable=False, default=uuid7, db_default=UUID7())
    user = models.ForeignKey(User, models.CASCADE, related_name="sessions")
    client = models.ForeignKey(settings.OAUTH2_PROVIDER_APPLICATION_MODEL, models.CASCADE, null=True)
    scope = models.TextField(help_text="What its tokens may: read, write or both, with a space between them.")
    address = models.GenericIPAddressField(null=True, help_text="From where it was opened.")
    created = models.DateTimeField(db_default=Now())
    expires = models.DateTimeField(db_index=True, help_text="When the last of its tokens has expired.")
    revoked = models.DateTimeField(null=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        triggers = [
            pgtrigger.Trigger(
                name="withdraw",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(WITHDRAWAL["ends_session"]),
                func=WITHDRAWAL["withdraw_session"],
            ),
        ]

    def __str__(self) -> str:
        return f"session of {self.user_id} until {self.expires:%Y-%m-%d}"

    @property
    def scopes(self) -> set[str]:
        """What its tokens may."""
        return set(self.scope.split())

    @property
    def actor(self) -> Actor:
        """The user as the actor of a request that came with this session (entitlement.py)."""
        return session_actor(user=self.user_id, session=self.pk, is_staff=self.user.is_staff)


class TokenQuerySet(models.QuerySet["Token"]):
    """States of tokens."""

    def expired(self) -> "TokenQuerySet":
        """Those that the periodic work removes."""
        return self.filter(expires__lte=Now())


class Token(models.Model):
    """A bearer or refresh token. Only its SHA-256 is kept: the database cannot give it back."""

    uncaptured = "a credential: nothing of it may enter the change log"

    class Kind(models.TextChoices):
        ACCESS = "access"
        REFRESH = "refresh"

    digest = models.BinaryField(primary_key=True)
    session = models.ForeignKey(Session, models.CASCADE, related_name="tokens")
    kind = models.TextField(choices=Kind)
    created = models.DateTimeField(db_default=Now())
    expires = models.DateTimeField(db_index=True)
    used = models.DateTimeField(null=True, help_text="When a refresh token was first exchanged.")

    objects = TokenQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.kind} token until {self.expires:%Y-%m-%d}"

    @staticmethod
    def digest_of(secret: str) -> bytes:
        """Tokens are 256 random bits, so a fast hash is enough: there is nothing to guess."""
        return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


class Tries(models.Model):
    """How often somebody tried to sign in lately: by account and address, by account, by address."""

    uncaptured = "counts that are forgotten within the hour"

    key = models.BinaryField(primary_key=True)
    number = models.IntegerField()
    until = models.DateTimeField(db_index=True, help_text="When it is forgotten.")

    def __str__(self) -> str:
        return f"{self.number} until {self.until:%H:%M:%S}"


def _people(counted: str, by: str) -> Any:  # noqa: ANN401 - a Django expression
    """How many users stand at the end `counted` of the follows whose other end is the user in question."""
    rows = Follow.objects.alive().filter(**{by: models.OuterRef("pk"), f"{counted}__deleted": None})
    counts = rows.order_by().values(by).annotate(n=models.Count("pk")).values("n")
    return Coalesce(models.Subquery(counts), 0)
