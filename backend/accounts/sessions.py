"""Sessions: opened by a sign-in, extended by refresh tokens, closed by their user.

    endpoint                        access token            refresh token
    POST /auth/                     opaque, TOKEN_DAYS      none
    POST /oauth/token/              opaque, an hour         opaque
    POST /api/v1/auth/token/ …      signed (JWT), minutes   signed (JWT)

One query authenticates a request with any token (authentication.py): its session must be open. A refresh token is used
once, for the next one. Reuse means that the token was stolen, so it ends the whole session. Reuse within REUSE_GRACE is
allowed, because two tabs may refresh at the same time.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from oauth2_provider.models import Application
from rest_framework.exceptions import AuthenticationFailed

from backend.accounts import signed
from backend.accounts.authentication import find_session
from backend.accounts.models import READ, WRITE, Session, Token, User

EVERYTHING = f"{READ} {WRITE}"
REUSE_GRACE = timedelta(seconds=10)  # in which a used refresh token may be used again


class StaleCredentials(AuthenticationFailed):
    """The credentials were verified, but have changed since."""

    default_detail = "The username or the password is wrong."


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token and its refresh token."""

    access: str
    refresh: str


def expiry_of(secret: str) -> datetime | None:
    """When this access token expires; None for an unknown token."""
    if signed.looks_signed(secret):
        claims = signed.read(secret, Token.Kind.ACCESS)
        return claims.expires if claims else None
    return Token.objects.filter(digest=Token.digest_of(secret)).values_list("expires", flat=True).first()


def is_valid(secret: str) -> bool:
    """Whether this token, of either kind, is valid now. A used refresh token is not."""
    if find_session(secret) is not None:
        return True
    if signed.looks_signed(secret) and not signed.read(secret, Token.Kind.REFRESH):
        return False
    session = Session.objects.open().of_token(secret, Token.Kind.REFRESH).first()
    return session is not None and session.tokens.filter(digest=Token.digest_of(secret), used=None).exists()


def is_open(secret: str) -> bool:
    """Whether the session of this opaque or refresh token is open, even if the token was used."""
    return Session.objects.open().filter(tokens__digest=Token.digest_of(secret)).exists()


def open_session(
    user: User,
    *,
    expires: datetime,
    address: str | None,
    scope: str = EVERYTHING,
    client: Application | None = None,
) -> Session:
    """Opens a session; `user.password` is the hash that the password was verified against.

    Raises StaleCredentials when the password was replaced since, or the account may not sign in any more. The row is
    locked, so that a concurrent replacement is either seen here or ends the new session.
    """
    with transaction.atomic():
        rows = User.objects.alive().filter(pk=user.pk, password=user.password, is_active=True)
        if not rows.select_for_update(no_key=True).values_list("pk").first():
            raise StaleCredentials
        return Session.objects.create(user=user, scope=scope, address=address, expires=expires, client=client)


def open_opaque(user: User, *, address: str | None = None) -> str:
    """Opens a session with one opaque token, valid for TOKEN_DAYS. The token is not stored in plain text."""
    expires = timezone.now() + timedelta(days=settings.TOKEN_DAYS)
    secret = f"lsk_{new_secret()}"
    with transaction.atomic():
        store_token(open_session(user, expires=expires, address=address), secret, Token.Kind.ACCESS, expires)
    return secret


def open_pair(user: User, *, address: str | None = None) -> Pair:
    """Opens a session with a pair of signed tokens."""
    with transaction.atomic():
        return next_pair(open_session(user, expires=timezone.now(), address=address))


def next_pair(session: Session) -> Pair:
    """The next pair of signed tokens of this session, which lasts as long as the refresh token."""
    refresh = signed.sign(session, Token.Kind.REFRESH, timedelta(days=settings.REFRESH_DAYS))
    store_token(session, refresh.secret, Token.Kind.REFRESH, refresh.expires)
    access = signed.sign(session, Token.Kind.ACCESS, timedelta(minutes=settings.ACCESS_MINUTES))
    return Pair(access.secret, refresh.secret)


def store_token(session: Session, secret: str, kind: Token.Kind, expires: datetime) -> None:
    """Stores a token of this session, and extends the session to the token's expiry.

    Raises StaleCredentials when the session was deleted with its account since it was read.
    """
    with transaction.atomic():
        if not Session.objects.select_for_update(no_key=True).filter(pk=session.pk).values_list("pk").first():
            raise StaleCredentials("The session has ended. Sign in again.")
        Token.objects.create(digest=Token.digest_of(secret), session=session, kind=kind, expires=expires)
        if expires > session.expires:
            session.expires = expires
            # Another refresh of this session may have written a later time since it was read.
            Session.objects.filter(pk=session.pk, expires__lt=expires).update(expires=expires)


def rotate_refresh_token(secret: str) -> Session | None:
    """Marks a refresh token as used, and returns its session; None for an invalid token.

    Reuse closes the session. The caller must return the error response instead of raising it: an exception would roll
    that back.
    """
    with transaction.atomic():
        sessions = Session.objects.open().select_for_update(of=("self",)).select_related("user")
        session = sessions.of_token(secret, Token.Kind.REFRESH).first()
        if session is None:
            return None
        token = session.tokens.get(digest=Token.digest_of(secret))
        now = timezone.now()
        if token.used is None:
            session.tokens.filter(pk=token.pk).update(used=now)
        elif now - token.used > REUSE_GRACE:
            Session.objects.filter(pk=session.pk).revoke()
            return None
        return session


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)
