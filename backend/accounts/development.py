"""The accounts and the OAuth 2 client of development. None of them exists anywhere else."""

from django.conf import settings
from django.core.management import CommandError
from oauth2_provider.models import Application

from backend.accounts.models import User

USERNAME, PASSWORD = "user", "1234"
ADMIN_USERNAME, ADMIN_PASSWORD = "admin", "12345"
CLIENT_ID = "lockstep-dev"
CREDENTIALS = {USERNAME: PASSWORD, ADMIN_USERNAME: ADMIN_PASSWORD}


def refuse_outside_development() -> None:
    """Raises CommandError unless DEBUG is on: these passwords are published."""
    if not settings.DEBUG:
        raise CommandError(
            "This command creates an account with a published password: it is for development (DEBUG) only."
        )


def ensure_client() -> None:
    """Creates the public OAuth 2 client of development; idempotent."""
    Application.objects.update_or_create(
        client_id=CLIENT_ID,
        defaults={
            "name": "development",
            "client_type": Application.CLIENT_PUBLIC,
            "authorization_grant_type": Application.GRANT_PASSWORD,
            "client_secret": "",
        },
    )


def ensure_account(username: str, password: str, *, staff: bool = False) -> User:
    """Creates or repairs the account with this password; idempotent."""
    user: User
    user, created = User.objects.get_or_create(username=username)
    is_correct = user.is_active and user.is_staff == staff and user.deleted is None
    if created or not is_correct or not user.check_password(password):
        user.set_password(password)
        user.is_active, user.is_staff, user.is_superuser, user.deleted = True, staff, staff, None
        user.save()
    return user
