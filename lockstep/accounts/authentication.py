"""`Authorization: Bearer <token>`: who is asking, whatever door the token came from."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from lockstep.accounts.models import Session, User
from lockstep.accounts.sessions import READ, WRITE, find
from lockstep.api.errors import InsufficientScope
from lockstep.api.requests import Asking

HEADER = "HTTP_AUTHORIZATION"  # as Django has it
LONGEST = 4_096  # letters; ours have at most some five hundred


class BearerAuthentication(BaseAuthentication):
    """One query for a request with a token, none without. What the token may not do is refused here, for every view."""

    def authenticate(self, request: Request) -> tuple[User, Session] | None:
        """The user and session of the request; None when it carries no credentials.

        Raises AuthenticationFailed (401) for a token that is unknown, expired or revoked, or whose user may not sign
        in, and for credentials of another kind, and InsufficientScope (403) for one that may only read, or only write.
        """
        if HEADER not in request.META:
            return None
        scheme, _, secret = request.META[HEADER].partition(" ")
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Send the token as `Authorization: Bearer <token>`.")
        reading = request.reading() if isinstance(request, Asking) and request.reading else None
        caller = find(secret.strip(), reading) if len(secret) <= LONGEST else None
        if caller is None:
            raise AuthenticationFailed("The bearer token is unknown, expired or revoked. Sign in for a new one.")
        session = caller.session
        if isinstance(request, Asking):
            request.found = caller.found
        needed = READ if request.method in SAFE_METHODS else WRITE
        if needed not in session.scopes:
            raise InsufficientScope(needed, session.scope)
        return session.user, session

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="lockstep"' + (', error="invalid_token"' if request.META.get(HEADER) else "")
