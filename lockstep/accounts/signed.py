"""JSON Web Tokens: signed with a key made from SECRET_KEY, and still valid after it was rotated.

simplejwt would do this with PyJWT too; what it has beyond that (a list of tokens in plain text, no families, a second
query) is what sessions.py does differently (docs/decisions/0016).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID, uuid4

import jwt
from django.conf import settings
from django.utils import timezone

from lockstep.accounts.models import Session, Token
from lockstep.api.sealing import derived_key

ALGORITHM, ISSUER, PURPOSE = "HS256", "lockstep", "lockstep json web tokens"
COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)  # RFC 7515: no padding, no other letters
# The clocks of two web servers differ: the token that one gave just now may be of the other's future.
CLOCK_SKEW_SECONDS = 10
REQUIRED = ["exp", "iat", "iss", "jti", "sid", "sub", "token_type"]


@dataclass(frozen=True, slots=True)
class Signed:
    """A JSON Web Token and when it expires."""

    secret: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Claims:
    """Which session a token is of, whose it is, and when it expires."""

    session: UUID
    user: UUID
    expires: datetime


def sign(session: Session, kind: Token.Kind, lifetime: timedelta) -> Signed:
    """A new token of this session: who (`sub`), which session (`sid`), what for (`token_type`), until when (`exp`)."""
    now = timezone.now()
    expires = now + lifetime
    claims = {
        "iss": ISSUER,
        "sub": str(session.user_id),
        "sid": str(session.pk),
        "jti": uuid4().hex,
        "token_type": kind.value,
        "scope": session.scope,
        "iat": int(now.timestamp()),
        "exp": int(expires.timestamp()),
    }
    return Signed(jwt.encode(claims, derived_key(PURPOSE, settings.SECRET_KEY), algorithm=ALGORITHM), expires)


def looks_signed(secret: str) -> bool:
    """Whether this is a JSON Web Token rather than an opaque one."""
    return secret.count(".") == 2


def read(secret: str, kind: Token.Kind) -> Claims | None:
    """What this token says; None when it is not ours, not of this kind, or has expired."""
    if not COMPACT.fullmatch(secret):
        return None
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            claims = _verified(secret, kind, key)
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError, OverflowError, OSError):
            return None  # no token, or claims that are no UUID and no time
        return claims if claims.expires > datetime.now(UTC) else None
    return None


@lru_cache(maxsize=4_096)
def _verified(secret: str, kind: Token.Kind, key: str) -> Claims:
    """What a token says that this key signed. It is looked into once: what it says does not change.

    Raises what PyJWT does, and ValueError; what is raised is not remembered, so that guesses push nothing out.
    """
    claims = jwt.decode(
        secret,
        derived_key(PURPOSE, key),
        [ALGORITHM],
        issuer=ISSUER,
        options={"require": REQUIRED},
        leeway=CLOCK_SKEW_SECONDS,
    )
    if claims["token_type"] != kind:
        raise ValueError(f"a token for {claims['token_type']!r}")
    return Claims(UUID(claims["sid"]), UUID(claims["sub"]), datetime.fromtimestamp(claims["exp"], UTC))
