"""Sign-in endpoints for three kinds of tokens. The routes of the predecessor APIs, in compat/, use these views."""

from datetime import datetime
from typing import Any, cast

import orjson
from django.contrib.auth import authenticate
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.parsers import FormParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from backend.accounts import actions, oauth, sessions, signed
from backend.accounts.authentication import HEADER, BearerAuthentication, find_session
from backend.accounts.models import Session, Token, User
from backend.accounts.serializers import (
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
from backend.accounts.throttling import LoginAttempt
from backend.entities.problems import OAUTH_REFUSED, UNAUTHENTICATED
from lockstep.changes.attribution import confirm
from lockstep.rest.actors import actor_of
from lockstep.rest.errors import CONTENT_TYPE, document
from lockstep.rest.idempotency import InFlight
from lockstep.rest.permissions import ReadsToo, Staff
from lockstep.rest.problems import problem_of
from lockstep.rest.requests import address_of
from lockstep.rest.responses import ApiResponse
from lockstep.rest.serializers import StrictSerializer, validated
from lockstep.rest.views import View

NO_STORE = {"Cache-Control": "no-store"}
# Members of responses with tokens that are valid as long as their session.
SESSION_TOKENS = ("token", "refresh", "refresh_token")
MAX_FORM_BYTES = 64 * 1024  # OAuth forms: decoding a megabyte of escapes takes a tenth of a second
EMPTY = {"type": "object", "additionalProperties": False}
OAUTH_PROBLEMS = dict.fromkeys((400, 401, 406, 409, 413, 415, 422, 429, 503), OAuthProblemSerializer)
OAUTH_ERRORS = {429: "temporarily_unavailable", 500: "server_error", 503: "temporarily_unavailable"}


class CredentialsView(View):
    """A view that takes credentials, without authentication by a token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        """The challenge of a 401; REST framework takes it from authentication classes, and there are none."""
        return 'Bearer realm="lockstep"'

    def may_replay(self, content: bytes) -> bool:
        """Whether the sessions of all tokens in the stored response are open; else credentials are verified again."""
        body = orjson.loads(content)
        return all(sessions.is_open(body[name]) for name in SESSION_TOKENS if name in body)


class PasswordView(View):
    """A view that takes a password. An attempt is counted before the password is verified (throttling.py)."""

    login_attempt: LoginAttempt | None = None
    password_methods: tuple[str, ...] = ("POST",)  # the methods that take a password

    def attempted_name(self, request: Request) -> str:
        """The validated name of the attempt; "" for an invalid body, whose password is not verified."""
        raise NotImplementedError

    def check_throttles(self, request: Request) -> None:
        """Counts the attempt outside the transaction of the request, so that only a success takes it back."""
        super().check_throttles(request)
        if request.method in self.password_methods and (name := self.attempted_name(request)):
            self.login_attempt = LoginAttempt(name, address_of(request))
            self.login_attempt.count()

    def finalize_response(self, request: Request, response: Any, *args: object, **kwargs: object) -> Response:  # noqa: ANN401
        """Takes the attempt back for a replayed response, which was a success."""
        final = super().finalize_response(request, response, *args, **kwargs)
        if "Idempotent-Replayed" in final:
            self.password_was_right()
        return final

    def handle_exception(self, exc: Exception) -> Response:
        """Takes the attempt back for a concurrent request with the same Idempotency-Key: no password was verified."""
        if self.login_attempt and isinstance(exc, InFlight):
            self.login_attempt.reset()
        return super().handle_exception(exc)

    def password_was_right(self) -> None:
        """Takes the attempt back."""
        if self.login_attempt:
            self.login_attempt.reset()


class SignInView(PasswordView, CredentialsView):
    """A view that takes a name and a password."""

    credentials: type[StrictSerializer] = CredentialsSerializer
    name_field = "username"  # in the validated data

    def attempted_name(self, request: Request) -> str:
        """The name as the serializer validates it."""
        serializer = self.credentials(data=request.data)
        return str(serializer.validated_data[self.name_field]) if serializer.is_valid() else ""

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
        operation_id="create_token_pair", request=NameOrEmailSerializer, responses={200: PairSerializer, 401: None}
    )
    def post(self, request: Request) -> ApiResponse:
        user = self.signed_in(request, **validated(NameOrEmailSerializer, request.data))
        return pair_response(sessions.open_pair(user, address=address_of(request)))


class RefreshView(CredentialsView):
    """Exchanges a refresh token for a new pair.

    A refresh token is used once. It may be sent again for ten seconds, so that two tabs or a lost response end nothing.
    After that, sending it again ends the session, with all its tokens.
    """

    @extend_schema(
        operation_id="refresh_token_pair", request=RefreshSerializer, responses={200: PairSerializer, 401: None}
    )
    def post(self, request: Request) -> ApiResponse:
        secret = validated(RefreshSerializer, request.data)["refresh"]
        session = sessions.rotate_refresh_token(secret) if signed.read(secret, Token.Kind.REFRESH) else None
        if session is None:
            return _refused("The refresh token is unknown, expired or was used before. Sign in again.")
        return pair_response(sessions.next_pair(session))


class VerifyView(CredentialsView):
    """Verifies a token: 200 if it is valid, 401 otherwise.

    Access and refresh tokens of any kind; the response does not tell which kind it is.
    """

    replays = False  # the response depends on the current state

    @extend_schema(operation_id="verify_token", request=TokenSerializer, responses={200: EMPTY, 401: None})
    def post(self, request: Request) -> ApiResponse:
        if not sessions.is_valid(validated(TokenSerializer, request.data)["token"]):
            return _refused("The token is unknown, expired or revoked.")
        return ApiResponse({})


class SignOutView(View):
    """Ends the session of the bearer token, with all its tokens."""

    @extend_schema(operation_id="sign_out", request=None, responses={204: None})
    def post(self, request: Request) -> ApiResponse:
        actions.sign_out(session=session_of(request))
        return ApiResponse(status=204)


class OAuthView(CredentialsView):
    """An OAuth 2 endpoint, whose errors are all JSON with an `error` code (RFC 6749, 5.2)."""

    parser_classes = (FormParser,)
    max_body_bytes = MAX_FORM_BYTES

    def handle_exception(self, exc: Exception) -> Any:  # noqa: ANN401 - REST framework's
        """A problem document that is an OAuth error as well."""
        problem = super().handle_exception(exc)
        code = OAUTH_ERRORS.get(problem.status_code, "invalid_request")
        body = orjson.loads(problem.content)
        headers = {name: value for name, value in problem.items() if name != "Content-Type"} | NO_STORE
        return ApiResponse({**body, "error": code}, problem.status_code, headers=headers)


class OAuthTokenView(OAuthView, SignInView):
    """Issues tokens by OAuth 2 (RFC 6749): the grants `password` and `refresh_token`."""

    def attempted_name(self, request: Request) -> str:
        """The username in the form."""
        form: Any = request.data  # FormParser is the only parser
        name = str(form.get("username", ""))
        return "" if "\0" in name else name

    @extend_schema(
        operation_id="create_oauth_tokens",
        request=OAuthGrantSerializer,
        responses={200: OAuthTokensSerializer, **OAUTH_PROBLEMS},
    )
    def post(self, request: Request) -> ApiResponse:
        request.data  # noqa: B018 - parses the form, which the protocol reads from Django's request
        response = oauth.token_response(request._request, address_of(request))
        if response.status == 200:
            self.password_was_right()
        return _oauth_response(response)


class OAuthRevocationView(OAuthView):
    """Revokes a token (RFC 7009).

    The response is 200 for an unknown token, too.
    """

    @extend_schema(
        operation_id="revoke_oauth_token", request=OAuthTokenFormSerializer, responses={200: EMPTY, **OAUTH_PROBLEMS}
    )
    def post(self, request: Request) -> ApiResponse:
        request.data  # noqa: B018 - see above
        return _oauth_response(oauth.revocation_response(request._request, address_of(request)))


class ClientOrBearer(BearerAuthentication):
    """A bearer token, or the id and secret of a confidential client by HTTP Basic, which has no user."""

    def authenticate(self, request: Request) -> tuple[User, Session] | None:
        """None for a client, which the permission authenticates once the form is parsed."""
        return None if is_basic(request) else super().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="lockstep"' if is_basic(request) else super().authenticate_header(request)


class StaffOrClient(Staff):
    """Allows staff, and confidential OAuth 2 clients: servers that receive tokens of this API."""

    def has_permission(self, request: Request, view: object) -> bool:
        """Raises AuthenticationFailed and TooManyRequests."""
        if not is_basic(request):
            return super().has_permission(request, view)
        request.data  # noqa: B018 - parses the form, which the protocol reads from Django's request
        if oauth.confidential_client(request._request, address_of(request)) is None:
            raise AuthenticationFailed("The client's id or secret is wrong, or it is a public client.")
        return True


def is_basic(request: Request) -> bool:
    """Whether the request uses HTTP Basic."""
    return str(request.META.get(HEADER, "")).lower().startswith("basic ")


class OAuthIntrospectionView(View):
    """Introspects a token (RFC 7662). For staff, and for confidential clients by HTTP Basic."""

    authentication_classes = (ClientOrBearer,)
    permission_classes = (StaffOrClient, ReadsToo)
    takes_clients = True
    parser_classes = (FormParser,)
    max_body_bytes = MAX_FORM_BYTES
    replays = False  # the response depends on the current state

    @extend_schema(operation_id="introspect_token", request=OAuthTokenFormSerializer, responses=IntrospectionSerializer)
    def post(self, request: Request) -> ApiResponse:
        secret = validated(OAuthTokenFormSerializer, request.data)["token"]
        if request.auth:
            confirm(actor_of(request))
        session, expires = find_session(secret), sessions.expiry_of(secret)
        if session is None or expires is None:
            return ApiResponse({"active": False}, headers=NO_STORE)
        return ApiResponse({"active": True, **_introspected(session, expires)}, headers=NO_STORE)


def session_of(request: Request) -> Session:
    """The session of an authenticated request."""
    return cast(Session, request.auth)


def pair_response(pair: sessions.Pair) -> ApiResponse:
    """The response with a pair of tokens, which must not be cached."""
    return ApiResponse({"access": pair.access, "refresh": pair.refresh}, headers=NO_STORE)


def _introspected(session: Session, expires: datetime) -> dict[str, object]:
    return {
        "scope": session.scope,
        "username": session.user.username,
        "sub": str(session.user_id),
        "client_id": session.client.client_id if session.client else None,
        "token_type": "Bearer",
        "iat": int(session.created.timestamp()),
        "exp": int(expires.timestamp()),
    }


def _refused(detail: str) -> ApiResponse:
    """A 401 that is returned and not raised: a used refresh token must stay used."""
    headers = {"WWW-Authenticate": 'Bearer realm="lockstep", error="invalid_token"', **NO_STORE}
    return ApiResponse(document(UNAUTHENTICATED, detail), 401, headers=headers, content_type=CONTENT_TYPE)


def _oauth_response(response: oauth.ProtocolResponse) -> ApiResponse:
    """The protocol's response; an error has the members of a problem as well.

    A 401 asks for HTTP Basic (RFC 6749, 5.2).
    """
    headers = {name: value for name, value in response.headers.items() if name != "Content-Type"} | NO_STORE
    if response.status < 400:
        return ApiResponse(response.body, response.status, headers=headers)
    detail = response.body.get("error_description") or response.body.get("error", "")
    if response.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="lockstep"'
    problem = OAUTH_REFUSED if response.status == OAUTH_REFUSED.status else problem_of(response.status)
    return ApiResponse(document(problem, detail, **response.body), response.status, headers=headers)
