"""What every endpoint is: a view of REST framework with the manners of this API."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpResponseBase
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from lockstep.api import idempotency
from lockstep.api.errors import DomainError, TooManyRequests
from lockstep.api.json import BodyTooLarge
from lockstep.api.rates import Rate, counter
from lockstep.api.requests import address_of

Handler = Callable[..., Response]


class View(APIView):
    """Parse, call one action, respond: what is written in a subclass. Here is what comes before and after.

    1. Who asks (accounts/authentication.py), and whether this endpoint is for them.
    2. How much they asked for in this minute (rates.py).
    3. A POST with an Idempotency-Key is carried out once (idempotency.py).
    """

    _rate: Rate | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the route's arguments
        """What is asked before the method is called."""
        self.format_kwarg = None
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.MAX_BODY_BYTES:
            raise BodyTooLarge
        if idempotency.HEADER in request.headers:
            request._request.body  # noqa: B018 - read before a parser does, which keeps nothing
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        self._count(request)
        self.check_permissions(request)
        self.check_throttles(request)
        if request.method == "POST" and idempotency.HEADER in request.headers:
            self.post = self._once(request, self.post)  # type: ignore[attr-defined]  # a POST that is not taken is a 405

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Adds what every answer tells."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        if self._rate:
            for name, value in self._rate.headers.items():
                answer[name] = value
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

    def _once(self, request: Request, post: Handler) -> Callable[..., HttpResponseBase]:
        def carried_out(*args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - the route's arguments
            response = post(request, *args, **kwargs)
            rendered: Response = super(View, self).finalize_response(request, response).render()
            return rendered

        return lambda _, *args, **kwargs: idempotency.once(request, lambda: carried_out(*args, **kwargs))
