"""Authentication by `Authorization: Bearer <token>`, for tokens of all sign-in endpoints: one query, or none."""

from dataclasses import dataclass
from functools import cache

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from backend.accounts import signed
from backend.accounts.models import READ, WRITE, Session, Token, User
from lockstep.rest import fastpath
from lockstep.rest.errors import InsufficientScope
from lockstep.sql import Statement, identifier, joined, statements

HEADER = "HTTP_AUTHORIZATION"  # in request.META
MAX_TOKEN = 4_096  # characters; issued tokens have at most some five hundred
DEFERRED_COLUMNS = {"password", "last_login", "date_joined", "created", "updated", "deleted"}  # loaded on access
USER = [field.attname for field in User._meta.concrete_fields if field.attname not in DEFERRED_COLUMNS]
COLUMNS = joined(identifier("u", column) for column in USER)
SESSION = ("id", "scope", "user_id")
SQL = statements(__file__, "authentication")
WHO = Statement("who.id")


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
        needed = READ if request.method in SAFE_METHODS else WRITE
        query = fastpath.bundled_query(request) if needed == READ else None
        caller = find(secret.strip(), query) if len(secret) <= MAX_TOKEN else None
        if caller is None:
            raise AuthenticationFailed("The bearer token is unknown, expired or revoked. Sign in for a new one.")
        session = caller.session
        if query:
            fastpath.keep(request, query, caller.bundled_row)
        if needed not in session.scope.split():
            raise InsufficientScope(needed, session.scope)
        return session.user, session

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="lockstep"' + (', error="invalid_token"' if request.META.get(HEADER) else "")


@dataclass(frozen=True, slots=True)
class Caller:
    """The session of a request, and the row of its bundled query, if any."""

    session: Session
    bundled_row: fastpath.Values | None = None


def find_session(secret: str) -> Session | None:
    """The open session of this access token, with its user; None for an invalid token."""
    caller = find(secret)
    return caller.session if caller else None


def find(secret: str, query: fastpath.BundledQuery | None = None) -> Caller | None:
    """The session of this access token and the row of the bundled query, in one query at most."""
    if signed.looks_signed(secret):
        claims = signed.read(secret, Token.Kind.ACCESS)
        if claims is None:
            return None
        name, parameters = "of_id", dict[str, object](who_session=claims.session, who_user=claims.user)
    else:
        name, parameters = "of_token", {"who_digest": Token.digest_of(secret)}
    if query is None:
        row = fastpath.fetch_tuple(_statement(name), parameters, reuse_cursor=True)
    else:
        statement, together = _statement(name, query.statement), {**query.parameters, **parameters}
        row = fastpath.fetch_tuple(statement, together, reuse_cursor=query.reuse_cursor)
    if row is None:
        return None
    key, scope, *columns = row[: 2 + len(USER)]
    user = fastpath.instance(User, USER, columns)
    session = fastpath.instance(Session, SESSION, [key, scope, user.pk])
    session._state.fields_cache = {"user": user}
    bundled = row[2 + len(USER) :]
    return Caller(session, bundled if bundled and bundled[0] is not None else None)


@cache
def _statement(name: str, bundled: Statement | None = None) -> Statement:
    who = SQL[name].with_parts(user=COLUMNS)
    return who if bundled is None else SQL["bundled"].with_parts(who=who, bundled=fastpath.for_user(bundled, WHO))
