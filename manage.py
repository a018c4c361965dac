#!/usr/bin/env python
"""Django's command line. Beside a running `make run` it finds the same database and settings by itself."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockstep.config.settings")
    execute_from_command_line(sys.argv)
