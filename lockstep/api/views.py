"""What every endpoint is: a view of REST framework with the manners of this API."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from lockstep.api import idempotency
from lockstep.api.errors import DomainError, TooManyRequests
from lockstep.api.json import BodyTooLarge
from lockstep.api.rates import Rate, counter
from lockstep.api.requests import address_of


class View(APIView):
    """Parse, call one action, respond: what is written in a subclass. Here is what comes before and after.

    1. How large the body is.
    2. Who asks (accounts/authentication.py), and how much they asked for in this minute (rates.py).
    3. Whether this endpoint is for them.
    4. A POST with an Idempotency-Key is carried out once (idempotency.py).
    """

    format_kwarg = None  # the format of an answer is asked for by Accept alone
    _rate: Rate | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401 - the route's
        """The answer to a request, whatever becomes of it."""
        self.args, self.kwargs, self.headers = args, kwargs, self.default_response_headers
        asked = self.request = self.initialize_request(request, *args, **kwargs)
        try:
            self.initial(asked, *args, **kwargs)
            given = self._answer(asked)
        except Exception as error:
            given = self.handle_exception(error)
        self.response = self.finalize_response(asked, given, *args, **kwargs)
        return self.response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the route's arguments
        """What is asked before the method is called."""
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.MAX_BODY_BYTES:
            raise BodyTooLarge
        if idempotency.HEADER in request.headers:
            request._request.body  # noqa: B018 - read before a parser does, which keeps nothing
        self._count(request)
        self.check_permissions(request)
        self.check_throttles(request)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Adds what every answer tells."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        if self._rate:
            for name, value in self._rate.headers.items():
                answer[name] = value
        return answer

    def _answer(self, request: Request) -> HttpResponseBase:
        if request.method == "POST" and idempotency.HEADER in request.headers:
            return idempotency.once(request, lambda: self._rendered(request))
        return self._handled(request)

    def _handled(self, request: Request) -> HttpResponseBase:
        name = (request.method or "").lower()
        handler = getattr(self, name, None) if name in self.http_method_names else None
        answer: HttpResponseBase = (handler or self.http_method_not_allowed)(request, *self.args, **self.kwargs)
        return answer

    def _rendered(self, request: Request) -> HttpResponse:
        """The answer with its bytes, for whoever keeps it."""
        given: Any = self._handled(request)
        answer: HttpResponse = super().finalize_response(request, given)
        if isinstance(answer, Response):
            answer.render()
        return answer

    def _count(self, request: Request) -> None:
        """Counts the request for its user; for its address when there is none, or none that is let in."""
        try:
            self.perform_authentication(request)
        except (APIException, DomainError):
            self._limit(f"address:{address_of(request)}")
            raise
        user = request.user
        self._limit(f"user:{user.pk}" if user.is_authenticated else f"address:{address_of(request)}")

    def _limit(self, who: str) -> None:
        self._rate = counter.count(who)
        if self._rate.remaining < 0:
            raise TooManyRequests(retry_after=self._rate.reset)
