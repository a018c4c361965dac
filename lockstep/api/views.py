"""What every endpoint is: a view of REST framework with the manners of this API."""

from functools import cache, partial
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.metadata import SimpleMetadata
from rest_framework.request import Request
from rest_framework.views import APIView

from lockstep.api import idempotency
from lockstep.api.answers import JSON, Answer
from lockstep.api.errors import DomainError, TooManyRequests
from lockstep.api.json import BodyTooLarge
from lockstep.api.parameters import parameters_of
from lockstep.api.rates import Rate, counter
from lockstep.api.requests import Asking, address_of, network_of
from lockstep.api.statements import Reading

ANYTHING = frozenset((None, "", "*/*", JSON))  # Accept headers that JSON is an answer to, without a closer look
READS = frozenset(("GET", "HEAD"))


class View(APIView):
    """Parse, call one action, respond: what is written in a subclass. Here is what comes before and after.

    1. How large the body is.
    2. Who asks (accounts/authentication.py), and how much they asked for in this minute (rates.py).
    3. Whether this endpoint is for them.
    4. Whether the query parameters are those that the method declares (parameters.py).
    5. A POST with an Idempotency-Key is carried out once (idempotency.py).

    What REST framework makes anew for each request (parsers, permissions, what is allowed here) is made once for each
    view: none of ours remembers anything.
    """

    max_body_bytes: int | None = None  # less than MAX_BODY_BYTES, where a body is never long
    format_kwarg = None  # the format of an answer is asked for by Accept alone
    replays = True  # a POST with an Idempotency-Key that was used is answered with what was answered then
    _rate: Rate | None = None
    _refusal: ValidationError | None = None  # of the parameters, found while the request was authenticated
    _always: ClassVar[dict[str, str]]  # the headers of every answer

    def __init_subclass__(cls) -> None:
        methods = [name for name in cls.http_method_names if hasattr(cls, "get" if name == "head" else name)]
        varies = {"Vary": "Accept"} if len(cls.renderer_classes) > 1 else {}
        cls._always = {"Allow": ", ".join(name.upper() for name in methods), **varies}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401 - the route's
        """The answer to a request, whatever becomes of it."""
        self.args, self.kwargs, self.headers = args, kwargs, {}
        asked = self.request = self._asking(request)
        try:
            self.initial(asked, *args, **kwargs)
            answer = self._answer(asked)
        except Exception as error:
            answer = self.handle_exception(error)
        self.response = self.finalize_response(asked, answer, *args, **kwargs)
        return self.response

    def reading(self, request: Asking) -> Reading | None:
        """What a GET reads in the same round trip as who asks for it, for `get` to find as `request.found`."""
        return None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the route's arguments
        """What is asked before the method is called."""
        told = request._request.META
        self._negotiate(request, told.get("HTTP_ACCEPT"))
        most = self.max_body_bytes or settings.MAX_BODY_BYTES
        if (length := told.get("CONTENT_LENGTH")) and int(length) > most:
            raise BodyTooLarge(f"The body is larger than {most:,} bytes.")
        if idempotency.META in told:
            request._request.body  # noqa: B018 - read before a parser does, which keeps nothing
        self._count(request)
        self.check_permissions(request)
        self._check_parameters(request)
        self.check_throttles(request)

    def check_throttles(self, request: Request) -> None:
        """What else is counted before the method is called: nothing, unless a view says so."""

    def may_replay(self, content: bytes) -> bool:
        """Whether this body of an answer may be given again to the Idempotency-Key that it was given to."""
        return True

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Adds what every answer tells."""
        told = self._always | self._rate.headers if self._rate else self._always
        for name, value in told.items():
            response.headers[name] = value
        return response

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the route's arguments
        """What REST framework tells of an endpoint."""
        return Answer(SimpleMetadata().determine_metadata(request, self))

    def get_parsers(self) -> Any:  # noqa: ANN401 - instances of what the class names, as in the next three
        return _made(tuple(self.parser_classes))

    def get_authenticators(self) -> Any:  # noqa: ANN401
        return _made(tuple(self.authentication_classes))

    def get_permissions(self) -> Any:  # noqa: ANN401
        return _made(tuple(self.permission_classes))

    def get_content_negotiator(self) -> Any:  # noqa: ANN401
        return _made((self.content_negotiation_class,))[0]

    def _asking(self, request: HttpRequest) -> Asking:
        asked = Asking(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context={"view": self, "args": self.args, "kwargs": self.kwargs},
        )
        asked.declared = parameters_of(type(self), (request.method or "").lower())  # type: ignore[arg-type]
        asked.reading = partial(self._reading, asked) if request.method in READS else None
        return asked

    def _reading(self, request: Asking) -> Reading | None:
        """Nothing is read where a parameter is wrong: that is said after authentication and permissions."""
        try:
            request.parameters  # noqa: B018 - reading them is the check
            return self.reading(request)
        except ValidationError as error:
            self._refusal = error
            return None

    def _check_parameters(self, request: Any) -> None:  # noqa: ANN401 - an Asking
        """Refuses what the method does not declare; a method that is not allowed is refused later."""
        if self._refusal:
            raise self._refusal
        if self._handler(request):
            request.parameters  # noqa: B018 - reading them is the check

    def _negotiate(self, request: Request, accept: str | None) -> None:
        """How to answer. Only who can be answered in several ways, or asks for something particular, is looked at."""
        if accept in ANYTHING and self.renderer_classes is APIView.renderer_classes:
            return
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)

    def _answer(self, request: Request) -> HttpResponseBase:
        if self.replays and request._request.method == "POST" and idempotency.META in request._request.META:
            return idempotency.once(request, lambda: self._handled(request), self.may_replay)
        return self._handled(request)

    def _handled(self, request: Request) -> HttpResponseBase:
        handler = self._handler(request) or self.http_method_not_allowed
        answer: HttpResponseBase = handler(request, *self.args, **self.kwargs)
        return answer

    def _handler(self, request: Request) -> Any:  # noqa: ANN401 - a method of the view
        name = (request.method or "").lower()
        return getattr(self, name, None) if name in self.http_method_names else None

    def _count(self, request: Request) -> None:
        """Counts the request for its user; for its address when there is none, or none that is let in."""
        try:
            self.perform_authentication(request)
        except (APIException, DomainError):
            self._limit(f"address:{network_of(address_of(request))}")
            raise
        user = request.user
        self._limit(f"user:{user.pk}" if user.is_authenticated else f"address:{network_of(address_of(request))}")

    def _limit(self, who: str) -> None:
        self._rate = counter.count(who)
        if self._rate.remaining < 0:
            raise TooManyRequests(retry_after=self._rate.reset)


@cache
def _made(classes: tuple[type, ...]) -> list[Any]:
    return [one() for one in classes]
