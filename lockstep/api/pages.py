"""Django's middleware of pages with sessions, which only the admin has: it passes everything else by."""

from collections.abc import Awaitable

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

PAGES = "/admin"


class _ForPages(MiddlewareMixin):
    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if request.path_info.startswith(PAGES):
            return super().__call__(request)
        return self.get_response(request)


class Sessions(_ForPages, SessionMiddleware):
    """Of whoever is signed in to the admin."""


class Authentication(_ForPages, AuthenticationMiddleware):
    """The user of the session."""


class Messages(_ForPages, MessageMiddleware):
    """What a page tells on the next one."""
