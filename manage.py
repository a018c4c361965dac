#!/usr/bin/env python
"""Django's command line. Beside a running `make run` it finds the same database and settings by itself."""

import os
import sys

START_IT = (
    "In development start `make run`; if it runs with a LOCKSTEP_HOME of its own, set the same LOCKSTEP_HOME here."
)


def main() -> None:
    """Runs the command. What its user can mend is one sentence instead of a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.config.settings")
    try:
        execute()
    except KeyboardInterrupt:
        sys.exit(130)  # also while Django is still being imported, which takes most of a second


def execute() -> None:
    """Django's own entry point, with the errors that are about where it runs."""
    import psycopg
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import Error
    from environs import EnvError

    from lockstep.changes.commands import Command
    from lockstep.changes.database_errors import explanation

    Command.start_it = START_IT

    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, EnvError) as error:
        sys.exit(f"Lockstep cannot start: {error}")
    except (Error, psycopg.Error) as error:
        if sentence := explanation(error, start_it=START_IT):
            sys.exit(sentence)
        raise


if __name__ == "__main__":
    main()
