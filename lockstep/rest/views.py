"""The base class of all endpoints: a REST framework view with the conventions of this API."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponseBase
from rest_framework.exceptions import APIException
from rest_framework.metadata import SimpleMetadata
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from lockstep.conf import lockstep_settings
from lockstep.rest import fastpath, idempotency
from lockstep.rest.errors import DomainError, TooManyRequests
from lockstep.rest.exception_handler import exception_handler
from lockstep.rest.json import BodyTooLarge, JSONParser, JSONRenderer
from lockstep.rest.parameters import parameters_of
from lockstep.rest.rate_limit import Quota, limiter
from lockstep.rest.requests import ApiRequest, address_of, network_of
from lockstep.rest.responses import ApiResponse


class View(fastpath.SharedInstances, APIView):
    """The steps around the handler of a subclass, which parses, calls one action and responds:

    1. Check the size of the body.
    2. Authenticate, and count the request against the rate limit (rate_limit.py).
    3. Check the permissions.
    4. Check the query parameters against those that the method declares (parameters.py).
    5. Carry out a POST with an Idempotency-Key once (idempotency.py).
    """

    renderer_classes: Sequence[type[BaseRenderer]] = (JSONRenderer,)
    parser_classes: Sequence[type[BaseParser]] = (JSONParser,)
    content_negotiation_class = fastpath.Negotiation
    max_body_bytes: int | None = None  # a limit below REST_MAX_BODY_BYTES
    format_kwarg = None  # only the Accept header selects the format
    replays = True  # whether a repeated Idempotency-Key gets the stored response
    _rate: Quota | None = None
    _always: ClassVar[dict[str, str]]  # the headers of every response

    def __init_subclass__(cls) -> None:
        methods = [name for name in cls.http_method_names if hasattr(cls, "get" if name == "head" else name)]
        varies = {"Vary": "Accept"} if len(cls.renderer_classes) > 1 else {}
        cls._always = {"Allow": ", ".join(name.upper() for name in methods), **varies}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401 - the route's
        """The response to a request, errors included."""
        self.args, self.kwargs, self.headers = args, kwargs, {}
        api_request = self.request = self._wrap_request(request)
        try:
            self.initial(api_request, *args, **kwargs)
            response = self._dispatch_once(api_request)
        except Exception as error:
            response = self.handle_exception(error)
        self.response = self.finalize_response(api_request, response, *args, **kwargs)
        return self.response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the route's arguments
        """Runs the checks that come before the handler."""
        meta = request._request.META
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        most = self.max_body_bytes or lockstep_settings.REST_MAX_BODY_BYTES
        if (length := meta.get("CONTENT_LENGTH")) and int(length) > most:
            raise BodyTooLarge(f"The body is larger than {most:,} bytes.")
        if idempotency.META in meta:
            request._request.body  # noqa: B018 - cached for the fingerprint: a parser would consume it
        self._count(request)
        self.check_permissions(request)
        self._check_parameters(request)
        self.check_throttles(request)

    def check_throttles(self, request: Request) -> None:
        """Counts the request against further limits. The default has none."""

    def may_replay(self, content: bytes) -> bool:
        """Whether the stored response with this body may be sent again."""
        return True

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Adds the headers of every response."""
        headers = self._always | self._rate.headers if self._rate else self._always
        for name, value in headers.items():
            response.headers[name] = value
        return response

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the route's arguments
        """REST framework's description of an endpoint."""
        return ApiResponse(SimpleMetadata().determine_metadata(request, self))

    def get_exception_handler(self) -> Any:  # noqa: ANN401 - a function
        """Errors are problem+json whatever EXCEPTION_HANDLER the project has for its other views."""
        return exception_handler

    def _wrap_request(self, request: HttpRequest) -> ApiRequest:
        api_request = ApiRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context={"view": self, "args": self.args, "kwargs": self.kwargs},
        )
        api_request.declared = parameters_of(type(self), (request.method or "").lower())  # type: ignore[arg-type]
        return api_request

    def _check_parameters(self, request: Any) -> None:  # noqa: ANN401 - an ApiRequest
        """Raises ValidationError for undeclared parameters. A method that is not allowed fails later."""
        if self._handler(request):
            request.parameters  # noqa: B018 - reading them is the check

    def _dispatch_once(self, request: Request) -> HttpResponseBase:
        if self.replays and request._request.method == "POST" and idempotency.META in request._request.META:
            return idempotency.once(request, lambda: self._call_handler(request), self.may_replay)
        return self._call_handler(request)

    def _call_handler(self, request: Request) -> HttpResponseBase:
        handler = self._handler(request) or self.http_method_not_allowed
        response: HttpResponseBase = handler(request, *self.args, **self.kwargs)
        return response

    def _handler(self, request: Request) -> Any:  # noqa: ANN401 - a method of the view
        name = (request.method or "").lower()
        return getattr(self, name, None) if name in self.http_method_names else None

    def _count(self, request: Request) -> None:
        """Counts the request for its user, or for its address if it is anonymous or not authenticated."""
        try:
            self.perform_authentication(request)
        except (APIException, DomainError):
            self._limit(f"address:{network_of(address_of(request))}")
            raise
        user = request.user
        self._limit(f"user:{user.pk}" if user.is_authenticated else f"address:{network_of(address_of(request))}")

    def _limit(self, key: str) -> None:
        self._rate = limiter.count(key)
        if self._rate.remaining < 0:
            raise TooManyRequests(retry_after=self._rate.reset)
