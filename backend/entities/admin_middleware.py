"""Django's sessions, users and messages, for the admin only."""

from collections.abc import Awaitable

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase

ADMIN = "/admin"


class AdminMiddleware(SessionMiddleware, AuthenticationMiddleware, MessageMiddleware):
    """Three of Django's in their usual order. Requests of the API, which has no sessions, pass them in one step."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if request.path_info.startswith(ADMIN):
            return super().__call__(request)
        return self.get_response(request)

    def process_request(self, request: HttpRequest) -> None:
        SessionMiddleware.process_request(self, request)
        AuthenticationMiddleware.process_request(self, request)
        MessageMiddleware.process_request(self, request)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response = MessageMiddleware.process_response(self, request, response)
        return SessionMiddleware.process_response(self, request, response)
