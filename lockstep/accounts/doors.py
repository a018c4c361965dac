"""Signing in: three kinds of token by three doors, and nothing about any of them anywhere else.

The routes of the predecessor APIs lie in compat/, on what stands here.
"""

from datetime import datetime
from typing import Any, cast

import orjson
from django.contrib.auth import authenticate
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.parsers import FormParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from lockstep.accounts import actions, oauth, sessions, signed
from lockstep.accounts.authentication import HEADER, BearerAuthentication
from lockstep.accounts.models import Session, Token, User
from lockstep.accounts.serializers import (
    CredentialsSerializer,
    IntrospectionSerializer,
    NameOrEmailSerializer,
    OAuthGrantSerializer,
    OAuthProblemSerializer,
    OAuthTokenFormSerializer,
    OAuthTokensSerializer,
    PairSerializer,
    RefreshSerializer,
    TokenSerializer,
)
from lockstep.accounts.throttling import Try
from lockstep.api.answers import Answer
from lockstep.api.errors import CONTENT_TYPE, document
from lockstep.api.idempotency import InFlight
from lockstep.api.permissions import ReadsToo, Staff
from lockstep.api.problems import OAUTH_REFUSED, UNAUTHENTICATED, problem_of
from lockstep.api.requests import actor_of, address_of
from lockstep.api.serializers import StrictSerializer
from lockstep.api.views import View
from lockstep.changes.attribution import confirm

NO_STORE = {"Cache-Control": "no-store"}
SESSION_TOKENS = ("token", "refresh", "refresh_token")  # members of answers: a token that lives as long as its session
MAX_FORM_BYTES = 64 * 1024  # of a form of OAuth: to decode a megabyte of escapes takes a tenth of a second
EMPTY = {"type": "object", "additionalProperties": False}
OAUTH_PROBLEMS = dict.fromkeys((400, 401, 406, 409, 413, 415, 422, 429, 503), OAuthProblemSerializer)
OAUTH_ERRORS = {429: "temporarily_unavailable", 500: "server_error", 503: "temporarily_unavailable"}


class DoorView(View):
    """A route that takes credentials. Nobody is signed in here, so that no token is looked at."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        """Makes a refusal a 401: REST framework asks the authentication classes, and there are none here."""
        return 'Bearer realm="lockstep"'

    def may_replay(self, content: bytes) -> bool:
        """Tokens are given again while their session is open; else credentials are looked at anew."""
        answer = orjson.loads(content)
        return all(sessions.is_open(answer[name]) for name in SESSION_TOKENS if name in answer)


class PasswordView(View):
    """A route that takes a password. A try counts before it is looked at (throttling.py)."""

    password_try: Try | None = None
    password_methods: tuple[str, ...] = ("POST",)  # those that take a password

    def tried(self, request: Request) -> str:
        """The validated name whose password is tried; "" where the body is refused and no password is looked at."""
        raise NotImplementedError

    def check_throttles(self, request: Request) -> None:
        """Counts the try; outside the transaction of the request, so that nothing takes it back but success."""
        super().check_throttles(request)
        if request.method in self.password_methods and (name := self.tried(request)):
            self.password_try = Try(name, address_of(request))
            self.password_try.count()

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """An answer that is given again was a success."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        if "Idempotent-Replayed" in answer:
            self.password_was_right()
        return answer

    def handle_exception(self, exc: Exception) -> Any:  # noqa: ANN401 - REST framework's
        """No password is looked at while another request with the same Idempotency-Key is carried out."""
        if self.password_try and isinstance(exc, InFlight):
            self.password_try.forgive()
        return super().handle_exception(exc)

    def password_was_right(self) -> None:
        """Takes the try back."""
        if self.password_try:
            self.password_try.forgive()


class SignInView(PasswordView, DoorView):
    """A route that takes a name and a password."""

    credentials: type[StrictSerializer] = CredentialsSerializer
    name_field = "username"  # of what is validated

    def tried(self, request: Request) -> str:
        """The name as the serializer hands it on to whoever looks for the account."""
        given = self.credentials(data=request.data)
        return str(given.validated_data[self.name_field]) if given.is_valid() else ""

    def signed_in(self, request: Request, *, username: str, password: str) -> User:
        """The user with this name and password. Raises AuthenticationFailed, which does not tell which is wrong."""
        user = authenticate(request._request, username=username, password=password)
        if not isinstance(user, User):
            raise AuthenticationFailed("The username or the password is wrong.")
        self.password_was_right()
        return user


class PairView(SignInView):
    """Issues a pair of JSON Web Tokens, by username or email and password.

    The access token is valid for minutes. Refresh the pair before it expires.
    """

    credentials = NameOrEmailSerializer

    @extend_schema(
        operation_id="create_pair", request=NameOrEmailSerializer, responses={200: PairSerializer, 401: None}
    )
    def post(self, request: Request) -> Answer:
        given = NameOrEmailSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        user = self.signed_in(request, **given.validated_data)
        return pair_response(sessions.open_pair(user, address=address_of(request)))


class RefreshView(DoorView):
    """Exchanges a refresh token for a new pair.

    A refresh token is used once. It may be sent again for ten seconds, so that two tabs or a lost response end nothing.
    After that, sending it again ends the session, with all its tokens.
    """

    @extend_schema(operation_id="refresh_pair", request=RefreshSerializer, responses={200: PairSerializer, 401: None})
    def post(self, request: Request) -> Answer:
        given = RefreshSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        secret = given.validated_data["refresh"]
        session = sessions.exchange(secret) if signed.read(secret, Token.Kind.REFRESH) else None
        if session is None:
            return _refused("The refresh token is unknown, expired or was used before. Sign in again.")
        return pair_response(sessions.next_pair(session))


class VerifyView(DoorView):
    """Verifies a token: 200 if it is valid, 401 otherwise.

    Access and refresh tokens of any kind; the response does not tell which kind it is.
    """

    replays = False  # the answer is about this moment

    @extend_schema(operation_id="verify_token", request=TokenSerializer, responses={200: EMPTY, 401: None})
    def post(self, request: Request) -> Answer:
        given = TokenSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        if not sessions.is_valid(given.validated_data["token"]):
            return _refused("The token is unknown, expired or revoked.")
        return Answer({})


class SignOutView(View):
    """Ends the session of the bearer token, with all its tokens."""

    @extend_schema(operation_id="sign_out", request=None, responses={204: None})
    def post(self, request: Request) -> Answer:
        actions.sign_out(session=session_of(request))
        return Answer(status=204)


class OAuthView(DoorView):
    """A route of OAuth 2, whose errors are JSON with an `error` code (RFC 6749, 5.2), whoever raised them."""

    parser_classes = (FormParser,)
    max_body_bytes = MAX_FORM_BYTES

    def handle_exception(self, exc: Exception) -> Any:  # noqa: ANN401 - REST framework's
        """A problem, which is the protocol's error as well."""
        problem = super().handle_exception(exc)
        code = OAUTH_ERRORS.get(problem.status_code, "invalid_request")
        body = orjson.loads(problem.content)
        headers = {name: value for name, value in problem.items() if name != "Content-Type"} | NO_STORE
        return Answer({**body, "error": code}, problem.status_code, headers=headers)


class OAuthTokenView(OAuthView, SignInView):
    """Issues tokens by OAuth 2 (RFC 6749): the grants `password` and `refresh_token`."""

    def tried(self, request: Request) -> str:
        """The name in the form; the protocol takes no other."""
        form: Any = request.data  # a form is all that is parsed here
        name = str(form.get("username", ""))
        return "" if "\0" in name else name

    @extend_schema(
        operation_id="create_oauth_tokens",
        request=OAuthGrantSerializer,
        responses={200: OAuthTokensSerializer, **OAUTH_PROBLEMS},
    )
    def post(self, request: Request) -> Answer:
        request.data  # noqa: B018 - parses the form, which the protocol reads from Django's request
        answer = oauth.token_answer(request._request, address_of(request))
        if answer.status == 200:
            self.password_was_right()
        return _oauth_response(answer)


class OAuthRevocationView(OAuthView):
    """Revokes a token (RFC 7009).

    The response is 200 for an unknown token, too.
    """

    @extend_schema(
        operation_id="revoke_oauth_token", request=OAuthTokenFormSerializer, responses={200: EMPTY, **OAUTH_PROBLEMS}
    )
    def post(self, request: Request) -> Answer:
        request.data  # noqa: B018 - see above
        return _oauth_response(oauth.revocation_answer(request._request, address_of(request)))


class ClientOrBearer(BearerAuthentication):
    """A bearer token; or, of a confidential client, its id and secret by HTTP Basic, which are nobody's account."""

    def authenticate(self, request: Request) -> tuple[User, Session] | None:
        """None for a client, which the permission looks at when the form is there."""
        return None if is_basic(request) else super().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="lockstep"' if is_basic(request) else super().authenticate_header(request)


class StaffOrClient(Staff):
    """Staff, and confidential clients of OAuth 2: servers that are shown tokens of ours."""

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ANN401 - any view
        """Raises AuthenticationFailed and TooManyRequests."""
        if not is_basic(request):
            return super().has_permission(request, view)
        request.data  # noqa: B018 - parses the form, which the protocol reads from Django's request
        if oauth.confidential_client(request._request, address_of(request)) is None:
            raise AuthenticationFailed("The client's id or secret is wrong, or it is a public client.")
        return True


def is_basic(request: Request) -> bool:
    """Whether the request comes with HTTP Basic."""
    return str(request.META.get(HEADER, "")).lower().startswith("basic ")


class OAuthIntrospectionView(View):
    """Introspects a token (RFC 7662). For staff, and for confidential clients by HTTP Basic."""

    authentication_classes = (ClientOrBearer,)
    permission_classes = (StaffOrClient, ReadsToo)
    takes_clients = True
    parser_classes = (FormParser,)
    max_body_bytes = MAX_FORM_BYTES
    replays = False  # the answer is about this moment

    @extend_schema(operation_id="introspect_token", request=OAuthTokenFormSerializer, responses=IntrospectionSerializer)
    def post(self, request: Request) -> Answer:
        given = OAuthTokenFormSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        secret = given.validated_data["token"]
        if request.auth:
            confirm(actor_of(request))
        session, expires = sessions.find_session(secret), sessions.expiry_of(secret)
        if session is None or expires is None:
            return Answer({"active": False}, headers=NO_STORE)
        return Answer({"active": True, **_introspected(session, expires)}, headers=NO_STORE)


def session_of(request: Request) -> Session:
    """The session that a request which was let in came with."""
    return cast(Session, request.auth)


def pair_response(pair: sessions.Pair) -> Answer:
    """A pair of tokens, which nobody on the way should keep."""
    return Answer({"access": pair.access, "refresh": pair.refresh}, headers=NO_STORE)


def _introspected(session: Session, expires: datetime) -> dict[str, Any]:
    return {
        "scope": session.scope,
        "username": session.user.username,
        "sub": str(session.user_id),
        "client_id": session.client.client_id if session.client else None,
        "token_type": "Bearer",
        "iat": int(session.created.timestamp()),
        "exp": int(expires.timestamp()),
    }


def _refused(detail: str) -> Answer:
    """A 401 that is answered and not raised: what was done about the token must hold."""
    headers = {"WWW-Authenticate": 'Bearer realm="lockstep", error="invalid_token"', **NO_STORE}
    return Answer(document(UNAUTHENTICATED, detail), 401, headers=headers, content_type=CONTENT_TYPE)


def _oauth_response(answer: oauth.Answer) -> Answer:
    """The protocol's own answer; a refusal has the members of a problem as well.

    A client that showed no right secret is told how to show it: by HTTP Basic (RFC 6749, 5.2).
    """
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Type"} | NO_STORE
    if answer.status < 400:
        return Answer(answer.body, answer.status, headers=headers)
    detail = answer.body.get("error_description") or answer.body.get("error", "")
    if answer.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="lockstep"'
    problem = OAUTH_REFUSED if answer.status == OAUTH_REFUSED.status else problem_of(answer.status)
    return Answer(document(problem, detail, **answer.body), answer.status, headers=headers)
