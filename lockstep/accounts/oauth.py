"""OAuth 2: django-oauth-toolkit speaks the protocol and knows the clients, and our sessions keep the tokens.

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

from lockstep.accounts import sessions
from lockstep.accounts.models import Session, Token
from lockstep.accounts.throttling import ClientTry

GRANT_TYPES = ("password", "refresh_token")
ACCESS_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Answer:
    """The body, status and headers of an answer of the protocol."""

    body: dict[str, Any]
    status: int
    headers: dict[str, str]


class SessionValidator(OAuth2Validator):  # type: ignore[misc]  # it is untyped
    """What the protocol asks of us. `request.session` is the session that a refresh goes on with."""

    def __init__(self, address: str | None) -> None:
        self.address = address

    def _load_application(self, client_id: str | None, request: OAuthRequest) -> object:
        """The client of this name, from the form or from HTTP Basic. None is called by a name with NUL in it."""
        return None if "\0" in (client_id or "") else super()._load_application(client_id, request)

    def _check_secret(self, provided_secret: str, stored_secret: str) -> bool:
        """Whether this is the client's secret. A try counts before it is looked at. Raises TooManyRequests."""
        attempt = ClientTry(stored_secret, self.address)
        attempt.count()
        if not super()._check_secret(provided_secret, stored_secret):
            return False
        attempt.forgive()
        return True

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: object, request: OAuthRequest, *_: object
    ) -> bool:
        """The two flows that need no browser."""
        return grant_type in GRANT_TYPES and bool(super().validate_grant_type(client_id, grant_type, client, request))

    def validate_refresh_token(self, refresh_token: str, client: object, request: OAuthRequest, *_: object) -> bool:
        """Uses the refresh token up, if it is this client's and asks for the session's own scope.

        All tokens of a session have its scope, so that a pair of a narrower one cannot be given. What is refused uses
        nothing up.
        """
        sessions_of_token = Session.objects.of_token(refresh_token, Token.Kind.REFRESH).filter(client=client)
        scopes = [session.scopes for session in sessions_of_token]
        if not scopes:
            return False
        if (asked := set((request.scope or "").split())) and asked != scopes[0]:
            raise InvalidScopeError("A refresh keeps its scope: leave scope out, or sign in again.", request=request)
        request.session = sessions.exchange(refresh_token)
        request.user = request.session.user if request.session else None
        return request.session is not None

    def get_original_scopes(self, refresh_token: str, request: OAuthRequest, *_: object) -> list[str]:
        """The scope of the session, which a refresh keeps."""
        return sorted(request.session.scopes)

    def save_bearer_token(self, token: dict[str, Any], request: OAuthRequest, *_: object, **__: object) -> None:
        """Keeps the pair that the answer tells: in a new session, or in the one that is refreshed."""
        expires = timezone.now() + timedelta(seconds=token["expires_in"])
        session = getattr(request, "session", None) or sessions.open_session(
            request.user, expires=expires, address=self.address, scope=token["scope"], client=request.client
        )
        sessions.keep(session, token["access_token"], Token.Kind.ACCESS, expires)
        refresh_expires = timezone.now() + timedelta(days=settings.REFRESH_DAYS)
        sessions.keep(session, token["refresh_token"], Token.Kind.REFRESH, refresh_expires)

    def revoke_token(self, token: str, token_type_hint: str, request: OAuthRequest, *_: object) -> None:
        """Closes the session of this token, if it is this client's. Who asks does not learn whether there was one."""
        digest = Token.digest_of(token)
        Session.objects.filter(tokens__digest=digest, client=request.client).revoke()


def token_answer(request: HttpRequest, address: str | None) -> Answer:
    """What the protocol answers to this form at the token route."""
    try:
        _, headers, body, status = _core(address).create_token_response(request)
    except sessions.StaleCredentials:
        refused = InvalidGrantError("Invalid credentials given.")
        headers, body, status = refused.headers, refused.json, refused.status_code
    return Answer(orjson.loads(body), status, headers)


def revocation_answer(request: HttpRequest, address: str | None) -> Answer:
    """What it answers at the revocation route: nothing, where the client is who it says."""
    _, headers, body, status = _core(address).create_revocation_response(request)
    return Answer(orjson.loads(body) if body else {}, status, headers)


def confidential_client(request: HttpRequest, address: str | None) -> Application | None:
    """The client whose id and secret this form came with, by HTTP Basic; None where it shows none, or is public.

    A public one has no secret that anybody keeps. Raises TooManyRequests.
    """
    core = _core(address)
    uri, method, body, headers = core._extract_params(request)
    asked = OAuthRequest(uri, method, body, headers)
    if not core.server.request_validator.authenticate_client(asked):
        return None
    client: Application = asked.client
    return client if client.client_type == Application.CLIENT_CONFIDENTIAL else None


def _core(address: str | None) -> OAuthLibCore:
    server = Server(
        SessionValidator(address),
        token_expires_in=ACCESS_SECONDS,
        token_generator=lambda request: f"lso_{sessions.new_secret()}",
        refresh_token_generator=lambda request: f"lsr_{sessions.new_secret()}",
    )
    return OAuthLibCore(server)
