"""Authentication by `Authorization: Bearer <token>`, for tokens of all sign-in endpoints."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from backend.accounts.models import Session, User
from backend.accounts.sessions import READ, WRITE, find
from lockstep.rest import fastpath
from lockstep.rest.errors import InsufficientScope

HEADER = "HTTP_AUTHORIZATION"  # in request.META
MAX_TOKEN = 4_096  # characters; issued tokens have at most some five hundred


class BearerAuthentication(BaseAuthentication):
    """Authenticates with one query for a request with a token, and none without. Checks the scope, for all views."""

    def authenticate(self, request: Request) -> tuple[User, Session] | None:
        """The user and session of the request; None without credentials.

        Raises AuthenticationFailed (401) for a token that is unknown, expired or revoked, or whose user may not sign
        in, and for credentials of another kind, and InsufficientScope (403) for one that may only read, or only write.
        """
        if HEADER not in request.META:
            return None
        scheme, _, secret = request.META[HEADER].partition(" ")
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Send the token as `Authorization: Bearer <token>`.")
        query = fastpath.bundled_query(request)
        caller = find(secret.strip(), query) if len(secret) <= MAX_TOKEN else None
        if caller is None:
            raise AuthenticationFailed("The bearer token is unknown, expired or revoked. Sign in for a new one.")
        session = caller.session
        if query:
            fastpath.keep(request, query, caller.bundled_row)
        needed = READ if request.method in SAFE_METHODS else WRITE
        if needed not in session.scope.split():
            raise InsufficientScope(needed, session.scope)
        return session.user, session

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="lockstep"' + (', error="invalid_token"' if request.META.get(HEADER) else "")
