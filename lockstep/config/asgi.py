"""The application that the web server runs: Django, behind what reads and bounds requests."""

from lockstep.config.wsgi import application as django_application

from lockstep.api.health import required_migrations  # isort: skip - there are no settings before Django is set up
from lockstep.api.server.application import Application  # isort: skip
from lockstep.api.server.sockets import allow_open_files  # isort: skip
from lockstep.web_server import MAX_CONNECTIONS  # isort: skip

required_migrations()  # reading them takes longer than the first probe may
allow_open_files(MAX_CONNECTIONS + 1_000)  # files and the database's connections come on top
application = Application(django_application)
