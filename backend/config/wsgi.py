"""Django as a WSGI application, made ready for serving. The web server runs it through `asgi.py`, which bounds it.

A server that runs this alone must read requests whole before it calls it, and bound how many it works on at once.
"""

import gc
import os

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

gc.disable()  # what is loaded here stays: looking for garbage in it is a tenth of the start
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.config.settings")
django.setup(set_prefix=False)

from backend.accounts.checks import refuse_development_accounts  # noqa: E402
from backend.entities.deployment import refuse_unfit_deployment  # noqa: E402
from lockstep import telemetry  # noqa: E402 - not before Django is set up
from lockstep.rest.connections import configure_connections, refuse_unsuitable_database  # noqa: E402
from lockstep.rest.handler import Handler  # noqa: E402

refuse_unfit_deployment()
refuse_unsuitable_database()
refuse_development_accounts()
connections.close_all()  # of the event loop's thread, which must wait for no database
configure_connections()
if settings.TRACES:  # in the process that serves, and not in one that it is forked from
    try:
        telemetry.start("web")
    except telemetry.Unfit as error:
        raise ImproperlyConfigured(str(error)) from error
application = Handler()
gc.collect()
gc.freeze()  # what is here now stays: it need not be looked through again and again
gc.enable()
gc.set_threshold(10_000)  # a request makes some hundred objects, and few that only this would find
