"""Users, follows, and the sessions and tokens of sign-ins."""

import hashlib
from typing import Any

import pgtrigger
from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import models, transaction
from django.db.models.functions import Coalesce, Now
from django.utils.deconstruct import deconstructible
from uuid_utils.compat import uuid7

from backend.accounts.entitlement import ENTITLEMENT, AdminActor
from backend.accounts.withdrawal import WITHDRAWAL, keeping_sessions
from backend.entities.addresses import MAX_ADDRESS, name_or_address
from backend.entities.folding import AddressField, Fold, NormalCharField, UsernameField
from backend.entities.models import BUMP_VERSION, AliveParent, Entity, EntityQuerySet, number_field
from lockstep import capture
from lockstep.changes.models import UUID7
from lockstep.rest import text
from lockstep.webhooks.actions import disable_endpoints
from lockstep.webhooks.models import Endpoint

ALREADY_IN_USE = "Already in use."
MAX_NAME = 150  # characters of a username, a first name and a last name
READ, WRITE = "read", "write"  # scopes of a session


class UserQuerySet(EntityQuerySet["User"]):
    """Filters of users."""

    def named(self, name: str) -> "UserQuerySet":
        """The user with this username or e-mail address, in any equal spelling."""
        if len(name) > MAX_ADDRESS:
            return self.none()
        name = name_or_address(name)
        by_name = models.Q(username__iexact=name)
        if "@" not in name:
            return self.filter(by_name)
        # With the condition of the partial index.
        return self.filter(by_name | (models.Q(email__iexact=name, deleted=None) & ~models.Q(email="")))

    def followers_of(self, user: "User") -> "UserQuerySet":
        """The followers of this user."""
        return self.filter(follows__followed=user, follows__deleted=None)

    def followed_by(self, user: "User") -> "UserQuerySet":
        """The users whom this user follows."""
        return self.filter(followings__follower=user, followings__deleted=None)

    def with_follow_counts(self) -> "UserQuerySet":
        """Annotates `followers` and `following`: the numbers of users that are not deleted."""
        return self.annotate(followers=_people("follower", "followed"), following=_people("followed", "follower"))


class PeopleManager(UserManager.from_queryset(UserQuerySet)):  # type: ignore[misc]  # created at run time
    """Creates users with hashed passwords; filters are those of UserQuerySet."""

    use_in_migrations = False

    def _create_user_object(self, *args: Any, **values: Any) -> "User":  # noqa: ANN401 - the base's arguments
        """Validates the user, also for `createsuperuser`. Raises ValidationError."""
        user: User = super()._create_user_object(*args, **values)
        user.clean()
        user.validate_constraints()
        return user


@deconstructible
class HandleValidator(UnicodeUsernameValidator):
    """Refuses e-mail addresses as usernames, because usernames are public."""

    regex = r"^[\w.+-]+\Z"
    message = "Use letters, digits and . + - _ only. An e-mail address signs in as well, and is not shown to others."


@capture("number", "username", "email", "first_name", "last_name", "is_active", "is_staff", soft_delete="deleted")
class User(Entity, AbstractUser):
    """A user. `number` identifies the user in outside systems."""

    uncaptured_fields = {
        "groups": "rights in the admin, which has a history of its own",
        "user_permissions": "rights in the admin, which has a history of its own",
    }

    number = number_field("accounts_user_number")
    username = UsernameField(
        max_length=MAX_NAME,
        unique=True,
        validators=[HandleValidator()],
        help_text="Public. Letters, digits and . + - _ only.",
        error_messages={"unique": "A user with that username already exists."},
    )
    first_name = NormalCharField("first name", max_length=MAX_NAME, blank=True)
    last_name = NormalCharField("last name", max_length=MAX_NAME, blank=True)
    email = AddressField("email address", blank=True)

    objects = PeopleManager()  # type: ignore[misc]  # the stubs know two bases

    @classmethod
    def normalize_username(cls, username: Any) -> Any:  # noqa: ANN401 - the base's signature
        """Normalises by text.py: the base method takes the square of the length."""
        return text.nfkc(username) if isinstance(username, str) else username

    class Meta(AbstractUser.Meta):
        abstract = False
        constraints = [
            # Names that look the same to a reader are the same name.
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
            # One spelling of each domain, for every writer.
            models.CheckConstraint(
                name="accounts_user_email_domain",
                condition=models.Q(email__regex=r"^[^@]*$|@[ -~]*$"),
                violation_error_message="Must be a valid e-mail address.",
            ),
        ]
        triggers = [
            BUMP_VERSION,
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

    _is_made_unusable = False  # set_unusable_password was called, and the user not saved yet

    def set_unusable_password(self) -> None:
        """Removes the password, which counts as a replacement."""
        super().set_unusable_password()
        self._is_made_unusable = True

    def save(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's arguments
        """Switches webhooks off when a new password is saved: by the admin, a command or a shell."""
        is_set = getattr(self, "_password", None) is not None or self._is_made_unusable
        replaced = is_set and not self._state.adding
        with transaction.atomic():
            super().save(*args, **options)
            if replaced:
                disable_endpoints(self.pk)
        self._is_made_unusable = False

    def check_password(self, raw_password: str | None) -> bool:
        """Whether this is the password. Stores a rehash unless the password was replaced meanwhile."""

        def store(raw: str) -> None:
            better = make_password(raw)
            with keeping_sessions("all"):
                stored = User.objects.filter(pk=self.pk, password=self.password).update(password=better)
            if stored:
                self.password = better

        return check_password(raw_password, self.password, store)

    @property
    def admin_actor(self) -> AdminActor:
        """This user as the actor of a request of the admin."""
        return AdminActor(self)


@capture("follower_id", "followed_id", readers="follower_id", soft_delete="deleted")
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
            BUMP_VERSION,
            *AliveParent.of("follower"),
            *AliveParent.of("followed"),
        ]

    def __str__(self) -> str:
        return f"{self.follower_id} follows {self.followed_id}"


class OwnedEndpoint(Endpoint):
    """A webhook endpoint as a row of its owner: it cannot be written for a deleted account."""

    uncaptured = "a proxy of the endpoint, which lockstep.webhooks captures"

    class Meta:
        proxy = True
        default_permissions = ()
        triggers = AliveParent.of("owner")


class SessionQuerySet(models.QuerySet["Session"]):
    """Filters of sessions."""

    def open(self) -> "SessionQuerySet":
        """Sessions that are neither revoked nor expired, and whose user may sign in."""
        return self.filter(revoked=None, expires__gt=Now(), user__is_active=True, user__deleted=None)

    def of_token(self, secret: str, kind: "Token.Kind") -> "SessionQuerySet":
        """The session of this token, if the token has not expired."""
        digest = Token.digest_of(secret)
        return self.filter(tokens__digest=digest, tokens__kind=kind, tokens__expires__gt=Now())

    def revoke(self) -> int:
        """Closes the sessions and all their tokens. Returns the number that were open."""
        return self.filter(revoked=None).update(revoked=Now())

    def expired(self) -> "SessionQuerySet":
        """Sessions that the periodic work removes, because no token of theirs is valid."""
        return self.filter(expires__lte=Now())


class Session(models.Model):
    """One sign-in. All its tokens refer to it, so that revoking it revokes them at once."""

    uncaptured = "a credential: nothing of it may enter the change log"
    # Each transaction that writes confirms session, account and staff status (entitlement.py).
    actor_confirmation = ENTITLEMENT["of_session"]

    id = models.UUIDField(primary_key=True, editable=False, default=uuid7, db_default=UUID7())
    user = models.ForeignKey(User, models.CASCADE, related_name="sessions")
    client = models.ForeignKey(settings.OAUTH2_PROVIDER_APPLICATION_MODEL, models.CASCADE, null=True)
    scope = models.TextField(help_text="The scopes of its tokens: read, write or both, separated by a space.")
    address = models.GenericIPAddressField(null=True, help_text="The address that opened it.")
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
        """The scopes of its tokens."""
        return set(self.scope.split())


class TokenQuerySet(models.QuerySet["Token"]):
    """Filters of tokens."""

    def expired(self) -> "TokenQuerySet":
        """Tokens that the periodic work removes."""
        return self.filter(expires__lte=Now())


class Token(models.Model):
    """A bearer or refresh token. Only its SHA-256 is stored."""

    uncaptured = "a credential: nothing of it may enter the change log"

    class Kind(models.TextChoices):
        ACCESS = "access"
        REFRESH = "refresh"

    digest = models.BinaryField(primary_key=True)
    session = models.ForeignKey(Session, models.CASCADE, related_name="tokens")
    kind = models.TextField(choices=Kind)
    created = models.DateTimeField(db_default=Now())
    expires = models.DateTimeField(db_index=True)
    used = models.DateTimeField(null=True, help_text="When a refresh token was first used.")

    objects = TokenQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.kind} token until {self.expires:%Y-%m-%d}"

    @staticmethod
    def digest_of(secret: str) -> bytes:
        """The digest of a token. Tokens are 256 random bits, so a fast hash is enough."""
        return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


class LoginAttemptCount(models.Model):
    """The number of recent login attempts by account and address, by account, or by address."""

    uncaptured = "counts that are forgotten within the hour"

    key = models.BinaryField(primary_key=True)
    number = models.IntegerField()
    until = models.DateTimeField(db_index=True, help_text="When the count ends.")

    def __str__(self) -> str:
        return f"{self.number} until {self.until:%H:%M:%S}"


def _people(counted: str, by: str) -> object:
    """The number of users at the end `counted` of the follows whose other end is the outer user."""
    rows = Follow.objects.alive().filter(**{by: models.OuterRef("pk"), f"{counted}__deleted": None})
    counts = rows.order_by().values(by).annotate(n=models.Count("pk")).values("n")
    return Coalesce(models.Subquery(counts), 0)
