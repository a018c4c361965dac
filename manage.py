#!/usr/bin/env python
"""Django's command line. Beside a running `make run` it finds the same database and settings by itself."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError, ProgrammingError
from environs import EnvError


def main() -> None:
    """Runs the command; what only its user can mend is a sentence, not a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockstep.config.settings")
    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, EnvError) as error:
        sys.exit(f"Lockstep cannot start: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except ProgrammingError as error:
        reason = str(error).strip().splitlines()[0]
        sys.exit(f"The database is not as the code expects it ({reason}). Run: manage.py migrate")
    except OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        sys.exit(f"The database does not answer ({reason}). In development, is `make run` running?")


if __name__ == "__main__":
    main()
