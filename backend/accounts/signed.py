"""JSON Web Tokens, signed with a key derived from SECRET_KEY; those under SECRET_KEY_FALLBACKS stay valid.

simplejwt uses PyJWT, too. Its other parts (a list of tokens in plain text, no families, a second query) are what
sessions.py does differently (docs/decisions/0016).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID, uuid4

import jwt
from django.conf import settings
from django.utils import timezone

from backend.accounts.models import Session, Token
from lockstep.rest.encryption import derived_key

ALGORITHM, ISSUER, PURPOSE = "HS256", "lockstep", "lockstep json web tokens"
COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)  # RFC 7515: no padding, no other characters
# The clocks of two web servers differ: a new token of one may be in the future of the other.
CLOCK_SKEW_SECONDS = 10
REQUIRED = ["exp", "iat", "iss", "jti", "sid", "sub", "token_type"]


@dataclass(frozen=True, slots=True)
class Signed:
    """A JSON Web Token and when it expires."""

    secret: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Claims:
    """The session, the user and the expiry in a token."""

    session: UUID
    user: UUID
    expires: datetime


def sign(session: Session, kind: Token.Kind, lifetime: timedelta) -> Signed:
    """Signs a token of this session, with the claims `sub` (user), `sid` (session), `token_type` and `exp`."""
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
    """The claims of this token; None for an invalid signature, another kind, or an expired token."""
    if not COMPACT.fullmatch(secret):
        return None
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            claims = _verified(secret, kind, key)
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError, OverflowError, OSError):
            return None  # no token, or claims with invalid UUIDs or times
        return claims if claims.expires > datetime.now(UTC) else None
    return None


@lru_cache(maxsize=4_096)
def _verified(secret: str, kind: Token.Kind, key: str) -> Claims:
    """The claims of a token, verified with this key and cached.

    Raises the exceptions of PyJWT, and ValueError. Exceptions are not cached, so that guesses evict nothing.
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
