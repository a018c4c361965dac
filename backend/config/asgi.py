"""The application that the web server runs: Django, behind what reads and bounds requests."""

import sys

from django.core.exceptions import ImproperlyConfigured
from environs import EnvError

try:
    from backend.config.wsgi import application as django_application
except (ImproperlyConfigured, EnvError) as error:
    sys.exit(f"Lockstep cannot start: {error}")

from lockstep.rest.probes import required_migrations  # isort: skip - there are no settings before Django is set up
from lockstep.rest.server.application import Application  # isort: skip
from lockstep.rest.server.sockets import allow_open_files  # isort: skip
from backend.web_server import MAX_CONNECTIONS  # isort: skip

required_migrations()  # reading them takes longer than the first probe may
allow_open_files(MAX_CONNECTIONS + 1_000)  # files and the database's connections come on top
application = Application(django_application)
