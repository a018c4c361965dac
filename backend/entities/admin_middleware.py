"""Django's sessions, users and messages, for pages only: the admin, the console, webhooks, and the start page."""

from collections.abc import Awaitable

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse

ADMIN, CONSOLE, WEBHOOKS = "/admin", "/console", "/webhooks"
INDEX = {ADMIN: "admin:index", CONSOLE: "lockstep_console:overview", WEBHOOKS: "lockstep_owners:webhooks"}
PAGES = (ADMIN, CONSOLE, WEBHOOKS, "/sign-in", "/development/")  # the last one has the forms of the start page
START = "/"


class AdminMiddleware(SessionMiddleware, AuthenticationMiddleware, MessageMiddleware):
    """Three of Django's in their usual order. Requests of the API, which has no sessions, pass them in one step."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if request.path_info == START or request.path_info.startswith(PAGES):
            return super().__call__(request)
        return self.get_response(request)

    def process_request(self, request: HttpRequest) -> HttpResponse | None:  # type: ignore[override]  # Django takes both
        """Redirects three of them without their slash. Their pages have one, and no route of ours leads to it."""
        SessionMiddleware.process_request(self, request)
        AuthenticationMiddleware.process_request(self, request)
        MessageMiddleware.process_request(self, request)
        index = INDEX.get(request.path_info)
        return HttpResponseRedirect(reverse(index)) if index else None

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response = MessageMiddleware.process_response(self, request, response)
        return SessionMiddleware.process_response(self, request, response)
