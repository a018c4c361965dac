#!/usr/bin/env python
"""Django's command line. Beside a running `make run` it finds the same database and settings by itself."""

import os
import sys


def main() -> None:
    """Runs the command. What its user can mend is one sentence instead of a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockstep.config.settings")
    try:
        execute()
    except KeyboardInterrupt:
        sys.exit(130)  # also while Django is still being imported, which takes most of a second


def execute() -> None:
    """Django's own entry point, with the errors that are about where it runs."""
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError
    from environs import EnvError

    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, EnvError) as error:
        sys.exit(f"Lockstep cannot start: {error}")
    except ProgrammingError as error:
        sys.exit(f"The database is not as the code expects it ({first_line(error)}). Run: manage.py migrate")
    except OperationalError as error:
        sys.exit(
            f"The database does not answer ({first_line(error)}). In development start `make run`; if it runs with a "
            "LOCKSTEP_HOME of its own, set the same LOCKSTEP_HOME here."
        )


def first_line(error: Exception) -> str:
    """The first line of its message, or the name of its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


if __name__ == "__main__":
    main()
