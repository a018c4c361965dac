"""Django as a WSGI application, made ready for serving. The web server runs it through `asgi.py`, which bounds it.

A server that runs this alone must read requests whole before it calls it, and bound how many it works on at once.
"""

import gc
import os

import django
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockstep.config.settings")
django.setup(set_prefix=False)

from lockstep.accounts.checks import refuse_development_accounts  # noqa: E402 - not before Django is set up
from lockstep.api.connections import look_after_connections, refuse_unsuitable_database  # noqa: E402
from lockstep.api.handler import Handler  # noqa: E402

refuse_unsuitable_database()
refuse_development_accounts()
connections.close_all()  # of the event loop's thread, which must wait for no database
look_after_connections()
application = Handler()
gc.collect()
gc.freeze()  # what is here now stays: it need not be looked through again and again
gc.set_threshold(10_000)  # a request makes some hundred objects, and few that only this would find
