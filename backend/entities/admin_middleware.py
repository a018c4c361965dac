"""Django's sessions, users and messages, for pages only: the admin, the console, webhooks, and the start page."""

import logging
from collections.abc import Awaitable

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse

from lockstep.changes.database_errors import cause_of, is_read_only, is_transient
from lockstep.rest.pages import error_response

logger = logging.getLogger(__name__)

ADMIN, CONSOLE, WEBHOOKS = "/admin", "/console", "/webhooks"
INDEX = {ADMIN: "admin:index", CONSOLE: "lockstep_console:overview", WEBHOOKS: "lockstep_owners:webhooks"}
PAGES = (ADMIN, CONSOLE, WEBHOOKS, "/sign-in", "/development/")  # the last one has the forms of the start page
START = "/"
WRITES_REFUSED = "The database is read-only right now. Nothing was changed; try again later."
NO_ANSWER = "The database does not answer right now, or takes too long; try again in a moment."
RETRY_AFTER = {"Retry-After": "5"}  # seconds


class AdminMiddleware(SessionMiddleware, AuthenticationMiddleware, MessageMiddleware):
    """Three of Django's in their usual order. Requests of the API, which has no sessions, pass them in one step."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if request.path_info == START or request.path_info.startswith(PAGES):
            try:
                return super().__call__(request)
            except Error as error:  # of the session, which is saved after the view
                if response := self.process_exception(request, error):
                    return response
                raise
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """The 503 of a page that the database fails, as the API responds then; None for any other error, a bug."""
        if not isinstance(error, Error) or not is_transient(error):
            return None
        logger.error("the database did not serve a page: %s", str(error).partition("\n")[0])
        return error_response(request, 503, WRITES_REFUSED if is_read_only(cause_of(error)) else NO_ANSWER, RETRY_AFTER)

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
