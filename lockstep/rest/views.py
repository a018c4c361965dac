"""The base class of all endpoints: a REST framework view with the conventions of this API."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponseBase
from rest_framework.exceptions import APIException
from rest_framework.metadata import SimpleMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from lockstep.conf import lockstep_settings
from lockstep.rest import idempotency
from lockstep.rest.errors import DomainError, TooManyRequests
from lockstep.rest.exception_handler import exception_handler
from lockstep.rest.json import BodyTooLarge, JSONParser, JSONRenderer
from lockstep.rest.rate_limit import limiter
from lockstep.rest.requests import ApiRequest, address_of, network_of
from lockstep.rest.responses import ApiResponse

__all__ = ["View"]


class View(APIView):
    """A REST framework view, whose handlers parse, call one action or read, and respond. `dispatch` takes these steps:

    1. Wrap Django's request.
    2. Select the representation, and check the size of the body.
    3. Authenticate, and count the request against the rate limit (rate_limit.py).
    4. Check the permissions.
    5. Check the query parameters, if there are any, against those that the method declares (parameters.py).
    6. Check further limits: REST framework's `check_throttles`, which has none by default.
    7. Call the handler; for a POST with an Idempotency-Key once (idempotency.py).
    8. Turn an exception into a response, and add `self.headers`.

    REST framework's `initial` is not called: a step that a subclass needs is a line of its handler.
    """

    renderer_classes: Sequence[type[BaseRenderer]] = (JSONRenderer,)
    parser_classes: Sequence[type[BaseParser]] = (JSONParser,)
    content_negotiation_class = DefaultContentNegotiation
    max_body_bytes: int | None = None  # a limit below REST_MAX_BODY_BYTES
    format_kwarg = None  # only the Accept header selects the format
    replays = True  # whether a repeated Idempotency-Key gets the stored response
    replays_itself = False  # whether the handler calls `idempotency.once`, after what must not be in its transaction

    _default_headers: ClassVar[dict[str, str]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # REST framework's `default_response_headers`, made once for each class and not for each request.
        methods = [name for name in cls.http_method_names if hasattr(cls, "get" if name == "head" else name)]
        varies = {"Vary": "Accept"} if len(cls.renderer_classes) > 1 else {}
        cls._default_headers = {"Allow": ", ".join(name.upper() for name in methods), **varies}

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """The response to a request, errors included."""
        self.args, self.kwargs, self.headers = args, kwargs, dict(self._default_headers)
        self.request = api_request = self.initialize_request(request, *args, **kwargs)
        method = (request.method or "").lower()
        handler = getattr(self, method, None) if method in self.http_method_names else None
        try:
            representation = self.perform_content_negotiation(api_request)
            api_request.accepted_renderer, api_request.accepted_media_type = representation
            self.check_body(request)
            self.authenticate_and_count(api_request)
            self.check_permissions(api_request)
            if handler and request.META.get("QUERY_STRING"):  # a method that is not allowed declares no parameters
                api_request.parameters  # noqa: B018 - reading them is the check
            self.check_throttles(api_request)
            carry_out = partial(handler or self.http_method_not_allowed, api_request, *args, **kwargs)
            if method == "post" and idempotency.META in request.META and self.replays and not self.replays_itself:
                response = idempotency.once(api_request, carry_out, self.may_replay)
            else:
                response = carry_out()
        except Exception as error:
            response = self.handle_exception(error)
        self.response = self.finalize_response(api_request, response, *args, **kwargs)  # type: ignore[arg-type]  # any
        return self.response

    def initialize_request(self, request: HttpRequest, *args: object, **kwargs: object) -> ApiRequest:
        api_request = ApiRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )
        # REST framework looks these up in Django's request each time, by __getattr__: ten times in a request.
        api_request.META, api_request.method = request.META, request.method
        return api_request

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """REST framework's choice, without its 35 µs for the usual headers of a view with one renderer.

        An empty Accept header accepts anything.
        """
        usual, *others = self.get_renderers()
        accept = request.META.get("HTTP_ACCEPT")
        if not accept or (not others and accept in ("*/*", usual.media_type)):
            return usual, str(usual.media_type)
        return super().perform_content_negotiation(request, force)

    def check_body(self, request: HttpRequest) -> None:
        """Raises BodyTooLarge. The body of a request with a key is read here: a parser would leave none to compare."""
        most = self.max_body_bytes or lockstep_settings.REST_MAX_BODY_BYTES
        if (length := request.META.get("CONTENT_LENGTH")) and int(length) > most:
            raise BodyTooLarge(most)
        if idempotency.META in request.META:
            request.body  # noqa: B018 - Django keeps it

    def authenticate_and_count(self, request: Request) -> None:
        """Counts the request for its user, or for its address if it is anonymous or not authenticated.

        Raises TooManyRequests, and the exceptions of the authentication.
        """
        refusal: Exception | None = None
        key = ""
        try:
            self.perform_authentication(request)
            user = request.user
            key = f"user:{user.pk}" if user.is_authenticated else ""
        except (APIException, DomainError) as error:
            refusal = error
        quota = limiter.count(key or f"address:{network_of(address_of(request))}")
        self.headers |= quota.headers
        if quota.remaining < 0:
            raise TooManyRequests(retry_after=quota.reset)
        if refusal:
            raise refusal

    def may_replay(self, content: bytes) -> bool:
        """Whether the stored response with this body may be sent again."""
        return True

    def options(self, request: Any, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - unlike the base's
        """REST framework's description of an endpoint."""
        return ApiResponse(SimpleMetadata().determine_metadata(request, self))

    def get_exception_handler(self) -> Callable[..., ApiResponse | None]:
        """Errors are problem+json whatever EXCEPTION_HANDLER the project has for its other views."""
        return exception_handler
