"""OAuth 2: django-oauth-toolkit implements the protocol and stores the clients; sessions.py stores the tokens.

Its own tables would be a second kind of token with its own expiry, revocation and look-up; see docs/decisions/0016.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from oauth2_provider.models import Application
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauthlib.common import Request as OAuthRequest
from oauthlib.oauth2 import InvalidGrantError, InvalidScopeError, Server

from backend.accounts import sessions
from backend.accounts.models import Session, Token
from backend.accounts.throttling import ClientSecretAttempt

GRANT_TYPES = ("password", "refresh_token")
ACCESS_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class ProtocolResponse:
    """The body, status and headers of a response of the protocol."""

    body: dict[str, Any]
    status: int
    headers: dict[str, str]


class SessionValidator(OAuth2Validator):  # type: ignore[misc]  # it is untyped
    """The validator of the protocol. `request.session` is the session that is refreshed."""

    def __init__(self, address: str | None) -> None:
        self.address = address

    def _load_application(self, client_id: str | None, request: OAuthRequest) -> object:
        """The client with this id, from the form or from HTTP Basic. An id with NUL is unknown."""
        return None if "\0" in (client_id or "") else super()._load_application(client_id, request)

    def _check_secret(self, provided_secret: str, stored_secret: str) -> bool:
        """Whether this is the client's secret. Counts the attempt before. Raises TooManyRequests."""
        attempt = ClientSecretAttempt(stored_secret, self.address)
        attempt.count()
        if not super()._check_secret(provided_secret, stored_secret):
            return False
        attempt.reset()
        return True

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: object, request: OAuthRequest, *_: object
    ) -> bool:
        """The two flows that need no browser."""
        return grant_type in GRANT_TYPES and bool(super().validate_grant_type(client_id, grant_type, client, request))

    def validate_refresh_token(self, refresh_token: str, client: object, request: OAuthRequest, *_: object) -> bool:
        """Marks the refresh token as used, if it belongs to this client and the requested scope is the session's.

        All tokens of a session have its scope, so a narrower one cannot be issued. An error does not use the token.
        """
        sessions_of_token = Session.objects.of_token(refresh_token, Token.Kind.REFRESH).filter(client=client)
        scopes = [session.scopes for session in sessions_of_token]
        if not scopes:
            return False
        if (requested := set((request.scope or "").split())) and requested != scopes[0]:
            raise InvalidScopeError("A refresh keeps its scope: leave scope out, or sign in again.", request=request)
        request.session = sessions.rotate_refresh_token(refresh_token)
        request.user = request.session.user if request.session else None
        return request.session is not None

    def get_original_scopes(self, refresh_token: str, request: OAuthRequest, *_: object) -> list[str]:
        """The scope of the session, which a refresh keeps."""
        return sorted(request.session.scopes)

    def save_bearer_token(self, token: dict[str, Any], request: OAuthRequest, *_: object, **__: object) -> None:
        """Stores the issued pair, in a new session or in the refreshed one."""
        expires = timezone.now() + timedelta(seconds=token["expires_in"])
        session = getattr(request, "session", None) or sessions.open_session(
            request.user, expires=expires, address=self.address, scope=token["scope"], client=request.client
        )
        sessions.store_token(session, token["access_token"], Token.Kind.ACCESS, expires)
        refresh_expires = timezone.now() + timedelta(days=settings.REFRESH_DAYS)
        sessions.store_token(session, token["refresh_token"], Token.Kind.REFRESH, refresh_expires)

    def revoke_token(self, token: str, token_type_hint: str, request: OAuthRequest, *_: object) -> None:
        """Closes the session of this token, if it belongs to this client. The response does not tell whether it did."""
        digest = Token.digest_of(token)
        Session.objects.filter(tokens__digest=digest, client=request.client).revoke()


def token_response(request: HttpRequest, address: str | None) -> ProtocolResponse:
    """The protocol's response at the token endpoint."""
    try:
        _, headers, body, status = _core(address).create_token_response(request)
    except sessions.StaleCredentials:
        refused = InvalidGrantError("Invalid credentials given.")
        headers, body, status = refused.headers, refused.json, refused.status_code
    return ProtocolResponse(orjson.loads(body), status, headers)


def revocation_response(request: HttpRequest, address: str | None) -> ProtocolResponse:
    """The protocol's response at the revocation endpoint: empty for an authenticated client."""
    _, headers, body, status = _core(address).create_revocation_response(request)
    return ProtocolResponse(orjson.loads(body) if body else {}, status, headers)


def confidential_client(request: HttpRequest, address: str | None) -> Application | None:
    """The confidential client that authenticates by HTTP Basic; None without valid credentials.

    A public client has no secret. Raises TooManyRequests.
    """
    core = _core(address)
    uri, method, body, headers = core._extract_params(request)
    oauth_request = OAuthRequest(uri, method, body, headers)
    if not core.server.request_validator.authenticate_client(oauth_request):
        return None
    client: Application = oauth_request.client
    return client if client.client_type == Application.CLIENT_CONFIDENTIAL else None


def _core(address: str | None) -> OAuthLibCore:
    server = Server(
        SessionValidator(address),
        token_expires_in=ACCESS_SECONDS,
        token_generator=lambda request: f"lso_{sessions.new_secret()}",
        refresh_token_generator=lambda request: f"lsr_{sessions.new_secret()}",
    )
    return OAuthLibCore(server)
