"""The WSGI application that the web server runs."""

import gc
import os
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any

import django
from django.http import HttpResponse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockstep.config.settings")

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def at_most(requests: int, application: Application) -> Application:
    """So many requests are worked on at once; the others wait for their turn.

    More at once are slower together: they share one interpreter. A live stream counts only until it begins, so the
    server can have as many threads as there may be streams.
    """
    places: SimpleQueue[None] = SimpleQueue()  # a semaphore, and cheaper than the one of threading
    for _ in range(requests):
        places.put(None)

    def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's callable
        places.get()
        try:
            return _whole(application(environ, start_response))
        finally:
            places.put(None)

    return guarded


def _whole(answer: Iterable[bytes]) -> Iterable[bytes]:
    """An answer that is there already, as a list: granian sends one at once, and anything else piece by piece."""
    if not isinstance(answer, HttpResponse):
        return answer
    body = answer.content
    answer.close()
    return [body]


django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402 - there are none before Django is set up

from lockstep.accounts.checks import refuse_development_accounts  # noqa: E402
from lockstep.api.connections import look_after_connections  # noqa: E402
from lockstep.api.handler import Handler  # noqa: E402

refuse_development_accounts()
look_after_connections()
gc.collect()
gc.freeze()  # what is here now stays: it need not be looked through again and again
gc.set_threshold(10_000)  # a request makes some hundred objects, and few that only this would find
application = at_most(settings.WEB_REQUESTS, Handler())
