"""Brings the database to where the code is: migrations, development accounts, first import. Repeatable."""

import os
import sys

import django


def main() -> None:
    """One process for all three, because starting Django is the slow part of each."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockstep.config.settings")
    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    _migrate()
    if settings.DEBUG:
        call_command("setup_development_accounts")
    else:
        _refuse_development_accounts()
    _import_once()


def _migrate() -> None:
    from django.core.management import CommandError, call_command

    try:
        call_command("migrate", verbosity=0, interactive=False)
    except CommandError as error:
        sys.exit(f"Lockstep cannot start: {error}")


def _refuse_development_accounts() -> None:
    from django.core.exceptions import ImproperlyConfigured

    from lockstep.accounts.checks import refuse_development_accounts

    try:
        refuse_development_accounts()
    except ImproperlyConfigured as error:
        sys.exit(f"Lockstep cannot start: {error}")


def _import_once() -> None:
    """Whatever goes wrong: the system is useful without it, and it can be repeated at any time."""
    from django.core.management import call_command

    try:
        call_command("import_data_from_api", if_never=True)
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        command = ".venv/bin/python manage.py import_data_from_api"
        sys.stderr.write(f"The first import did not succeed ({reason}). Repeat it at any time with: {command}\n")


if __name__ == "__main__":
    main()
