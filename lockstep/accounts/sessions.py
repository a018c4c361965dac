"""Sessions: opened by a sign-in, kept alive by refresh tokens, closed by whoever they belong to.

    door                            access token            refresh token
    POST /auth/                     opaque, TOKEN_DAYS      none
    POST /oauth/token/              opaque, an hour         opaque
    POST /api/v1/auth/token/ …      signed (JWT), minutes   signed (JWT)

Whatever the token, a request is let in by one query: its session is open. A refresh token is exchanged for the next
one; whoever comes with one that was exchanged before has a stolen copy, or was robbed of theirs, and the whole session
ends. Two tabs that refresh at once are neither, so that the first seconds after an exchange are forgiven.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, models, transaction
from django.db.models.base import ModelState
from django.utils import timezone
from oauth2_provider.models import Application
from rest_framework.exceptions import AuthenticationFailed

from lockstep.accounts import signed
from lockstep.accounts.models import Session, Token, User
from lockstep.api.statements import Reading, Values, values
from lockstep.changes.sql_file import load

READ, WRITE = "read", "write"
EVERYTHING = f"{READ} {WRITE}"
SELDOM = {"password", "last_login", "date_joined", "created", "updated", "deleted"}  # asked for when they are used
USER = [field.attname for field in User._meta.concrete_fields if field.attname not in SELDOM]
COLUMNS = ", ".join(f"u.{column}" for column in USER)
SESSION = ("id", "scope", "user_id")
SQL = load(Path(__file__).parent / "sql" / "sessions.sql")
M = TypeVar("M", bound=models.Model)
FORGIVEN = timedelta(seconds=10)  # after an exchange, in which the same refresh token may be exchanged again


class StaleCredentials(AuthenticationFailed):
    """What was verified is not true any more."""

    default_detail = "The username or the password is wrong."


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token and what it is refreshed with."""

    access: str
    refresh: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, and what was read for them by the way; None where nothing was there, or nothing to be read."""

    session: Session
    found: Values | None = None


def find_session(secret: str) -> Session | None:
    """The open session, with its user, that this access token is of; None when it opens nothing."""
    caller = find(secret)
    return caller.session if caller else None


def find(secret: str, reading: Reading | None = None) -> Caller | None:
    """The same, and what is to be read for its user. One query at most."""
    if signed.looks_signed(secret):
        claims = signed.read(secret, Token.Kind.ACCESS)
        if claims is None:
            return None
        who, parameters = "of_id", dict[str, Any](who_session=claims.session, who_user=claims.user)
    else:
        who, parameters = "of_token", {"who_digest": Token.digest_of(secret)}
    if reading is None:
        row = values(_statement(who), parameters, is_small=True)
    else:
        statement, together = _statement(who, reading.statement), {**reading.parameters, **parameters}
        row = values(statement, together, is_small=reading.is_small)
    return _caller(row) if row else None


@cache
def _statement(who: str, reading: str | None = None) -> str:
    who = SQL[who].format(user=COLUMNS)
    return who if reading is None else SQL["reading"].format(who=who, reading=reading.replace("{user}", "who.id"))


def _caller(row: Values) -> Caller:
    key, scope, *rest = row
    user = _known(User, USER, rest)
    session = _known(Session, SESSION, [key, scope, user.pk])
    session._state.fields_cache = {"user": user}
    found = row[2 + len(USER) :]
    return Caller(session, found if found and found[0] is not None else None)


def _known(model: type[M], columns: Sequence[str], values: Sequence[Any]) -> M:
    """A row of which these columns are known; what else a request needs of it is asked for when it is used.

    This is `Model.from_db` without its signals, in a tenth of its time: two of these come with each request.
    """
    row = model.__new__(model)
    row._state = ModelState()
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
    row.__dict__.update(zip(columns, values, strict=False))
    return row


def expiry_of(secret: str) -> datetime | None:
    """When this access token expires; None when there is none."""
    if signed.looks_signed(secret):
        claims = signed.read(secret, Token.Kind.ACCESS)
        return claims.expires if claims else None
    return Token.objects.filter(digest=Token.digest_of(secret)).values_list("expires", flat=True).first()


def is_valid(secret: str) -> bool:
    """Whether this token, of either kind, would be taken now. A refresh token that was exchanged would not."""
    if find_session(secret) is not None:
        return True
    if signed.looks_signed(secret) and not signed.read(secret, Token.Kind.REFRESH):
        return False
    session = Session.objects.open().of_token(secret, Token.Kind.REFRESH).first()
    return session is not None and session.tokens.filter(digest=Token.digest_of(secret), used=None).exists()


def is_open(secret: str) -> bool:
    """Whether the session of this opaque or refresh token is open, whether or not the token was exchanged."""
    return Session.objects.open().filter(tokens__digest=Token.digest_of(secret)).exists()


def open_session(
    user: User,
    *,
    expires: datetime,
    address: str | None,
    scope: str = EVERYTHING,
    client: Application | None = None,
) -> Session:
    """A new session of this user, whose row has the hash that the password was verified against.

    Raises StaleCredentials when the password was replaced since, or the account may not sign in any more: the row is
    locked, so that a replacement either is seen here or finds the session and ends it.
    """
    with transaction.atomic():
        rows = User.objects.alive().filter(pk=user.pk, password=user.password, is_active=True)
        if not rows.select_for_update(no_key=True).values_list("pk").first():
            raise StaleCredentials
        return Session.objects.create(user=user, scope=scope, address=address, expires=expires, client=client)


def open_opaque(user: User, *, address: str | None = None) -> str:
    """A session with one opaque token, valid for TOKEN_DAYS; shown now and never again."""
    expires = timezone.now() + timedelta(days=settings.TOKEN_DAYS)
    secret = f"lsk_{new_secret()}"
    with transaction.atomic():
        keep(open_session(user, expires=expires, address=address), secret, Token.Kind.ACCESS, expires)
    return secret


def open_pair(user: User, *, address: str | None = None) -> Pair:
    """A session with a pair of signed tokens."""
    with transaction.atomic():
        return next_pair(open_session(user, expires=timezone.now(), address=address))


def next_pair(session: Session) -> Pair:
    """The next pair of signed tokens of this session, which lasts as long as the refresh token."""
    refresh = signed.sign(session, Token.Kind.REFRESH, timedelta(days=settings.REFRESH_DAYS))
    keep(session, refresh.secret, Token.Kind.REFRESH, refresh.expires)
    access = signed.sign(session, Token.Kind.ACCESS, timedelta(minutes=settings.ACCESS_MINUTES))
    return Pair(access.secret, refresh.secret)


def keep(session: Session, secret: str, kind: Token.Kind, expires: datetime) -> None:
    """Writes down a token of this session, which lasts at least as long.

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


def exchange(secret: str) -> Session | None:
    """The session whose refresh token this is, for the next one; None when it is to be refused.

    Coming a second time with a token closes its session. The caller answers the refusal, and does not raise it: an
    error would undo that.
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
        elif now - token.used > FORGIVEN:
            Session.objects.filter(pk=session.pk).revoke()
            return None
        return session


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)
