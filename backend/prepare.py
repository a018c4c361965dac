"""Brings the database to where the code is: migrations, development accounts, first import. Repeatable.

    python -m backend.prepare [--token]

A database that does not answer yet is waited for. With `--token` it ends with a token of the development account.
"""

import gc
import os
import sys
import time

import django

DATABASE_SECONDS = 60.0  # that a database may take to start


def main() -> None:
    """One process for all of it, because starting Django is the slow part of each."""
    gc.disable()  # it makes a tenth of the time, and frees nothing that this short process would need
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.config.settings")
    _set_up()
    from django.conf import settings
    from django.core.management import call_command

    _wait_for_database()
    _migrate()
    if settings.DEBUG:
        call_command("setup_development_accounts", verbosity=0)
    else:
        _refuse_development_accounts()
    _import_once()
    if "--token" in sys.argv[1:] and settings.DEBUG:
        call_command("setup_testing_user")


def _set_up() -> None:
    from django.core.exceptions import ImproperlyConfigured
    from environs import EnvError

    try:
        django.setup()
    except (ImproperlyConfigured, EnvError) as error:
        sys.exit(f"Lockstep cannot start: {error}")


def _wait_for_database() -> None:
    from django.db import OperationalError, connection

    from lockstep.changes.database_errors import cause_of, unsuitable

    ends = time.monotonic() + DATABASE_SECONDS
    said = ""
    while True:
        try:
            return connection.ensure_connection()
        except OperationalError as error:
            reason = str(error).strip().partition("\n")[0]
            if unsuitable(cause_of(error)) or time.monotonic() > ends:
                sys.exit(f"Lockstep cannot start: {unsuitable(cause_of(error)) or reason}")
            if reason != said:
                sys.stderr.write(f"The database does not answer yet ({reason}).\n")
                said = reason
            time.sleep(0.5)


def _migrate() -> None:
    from django.core.management import CommandError, call_command
    from django.db import DEFAULT_DB_ALIAS

    from lockstep.changes.applied_migrations import migrations_are_pending

    # A first start takes seconds here, on a busy machine a minute: each migration is a line. Later ones print nothing.
    verbosity = 1 if migrations_are_pending(DEFAULT_DB_ALIAS) else 0
    try:
        call_command("migrate", verbosity=verbosity, interactive=False)
    except CommandError as error:
        sys.exit(f"Lockstep cannot start: {error}")


def _refuse_development_accounts() -> None:
    from django.core.exceptions import ImproperlyConfigured

    from backend.accounts.checks import refuse_development_accounts

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
        command = "python -m backend import_data_from_api"
        sys.stderr.write(f"The first import did not succeed ({reason}). Repeat it at any time with: {command}\n")


if __name__ == "__main__":
    main()
