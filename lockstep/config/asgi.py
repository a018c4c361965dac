"""The application that the web server runs: Django, behind what reads and bounds requests."""

from lockstep.config.wsgi import application as django_application

from lockstep.api.server.application import Application  # isort: skip - there are no settings before Django is set up

application = Application(django_application)
