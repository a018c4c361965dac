"""Django's session middleware, applied to the admin only."""

from collections.abc import Awaitable

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

ADMIN = "/admin"


class _ForAdmin(MiddlewareMixin):
    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if request.path_info.startswith(ADMIN):
            return super().__call__(request)
        return self.get_response(request)


class Sessions(_ForAdmin, SessionMiddleware):
    """Sessions of the admin."""


class Authentication(_ForAdmin, AuthenticationMiddleware):
    """The user of the session."""


class Messages(_ForAdmin, MessageMiddleware):
    """Messages for the next page."""
