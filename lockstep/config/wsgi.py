"""Django as a WSGI application, made ready for serving. The web server runs it through `asgi.py`, which bounds it.

A server that runs this alone must read requests whole before it calls it, and bound how many it works on at once.
"""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockstep.config.settings")
application = get_wsgi_application()

from lockstep.api.connections import look_after_connections  # noqa: E402 - there is none before Django is set up

look_after_connections()
gc.collect()
gc.freeze()  # what is here now stays: it need not be looked through again and again
gc.set_threshold(10_000)  # a request makes some hundred objects, and few that only this would find
