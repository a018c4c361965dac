"""Refuses to serve the development accounts, whose passwords are published, outside development."""

from collections.abc import Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from oauth2_provider.models import Application

from backend.accounts.development import CLIENT_ID, CREDENTIALS
from backend.accounts.models import User

REMEDY = (
    "Change each account's password (`manage.py changepassword NAME`) or delete the account; delete the OAuth "
    "client in the admin. Or start with a new database."
)


@register(Tags.security, deploy=True)
def no_development_accounts(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """`check --deploy`: neither the accounts with published passwords nor the development OAuth client exist."""
    try:
        found = development_credentials()
    except DatabaseError as error:
        hint = "Run the check again where the database can be reached and is migrated."
        message = f"Development accounts could not be checked ({str(error).strip().splitlines()[0]})."
        return [Info(message, hint=hint, id="accounts.I001")]
    return [Error(f"{name} is for development only.", hint=REMEDY, id="accounts.E001") for name in found]


def refuse_development_accounts() -> None:
    """Raises ImproperlyConfigured outside development when one of them exists: for the start of the web server.

    A database that is down does not block the start: the published passwords are refused at each sign-in as well
    (backends.py).
    """
    if settings.DEBUG:
        return
    try:
        found = development_credentials()
    except DatabaseError:
        return
    if found:
        raise ImproperlyConfigured(f"{', '.join(found)}: for development only. {REMEDY}")


def development_credentials() -> list[str]:
    """The development credentials in the database: "the account admin / 12345", "the OAuth client lockstep-dev"."""
    users = {user.username: user for user in User.objects.alive().filter(username__in=CREDENTIALS)}
    accounts = [
        f"the account {name} / {password}"
        for name, password in CREDENTIALS.items()
        if name in users and users[name].check_password(password)
    ]
    clients = Application.objects.filter(client_id=CLIENT_ID).exists()
    return [*accounts, *([f"the OAuth client {CLIENT_ID}"] if clients else [])]
