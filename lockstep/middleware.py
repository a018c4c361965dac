"""A middleware that attributes a request's writes to its user: `"lockstep.middleware.AttributionMiddleware"`.

Place it after Django's AuthenticationMiddleware. It opens no transaction, and works under WSGI and ASGI. `request.user`
is read at each write: a request that writes nothing loads no session and gets no `Vary` header, and a user that
the view authenticates (Django REST framework, `login`) is the actor.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from uuid import uuid4

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from lockstep.changes.context import attributed

MAX_TRACE = 200  # characters of an accepted X-Request-ID


class AttributionMiddleware:
    """Sets the actor of changes to "user:<key>" and the trace to X-Request-ID, or to a new UUID."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._respond(request)
        with attributed(actor=partial(_actor, request), trace=_trace(request)):
            return self.get_response(request)

    async def _respond(self, request: HttpRequest) -> HttpResponseBase:
        async with attributed(actor=partial(_actor, request), trace=_trace(request)):
            response = self.get_response(request)
            return await response if isinstance(response, Awaitable) else response


def _actor(request: HttpRequest) -> str:
    user = getattr(request, "user", None)
    return f"user:{user.pk}" if user is not None and user.is_authenticated else ""


def _trace(request: HttpRequest) -> str:
    request_id = request.headers.get("X-Request-ID", "")
    return request_id if request_id.isprintable() and 0 < len(request_id) <= MAX_TRACE else str(uuid4())
