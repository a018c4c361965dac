"""Secrets at rest: encrypted with a key made from SECRET_KEY, and still readable after it was rotated.

A copy of the database alone opens nothing. Unlike a password these cannot be hashed: they are needed again.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unreadable(Exception):
    """It was sealed under a SECRET_KEY that is neither the current one nor one of SECRET_KEY_FALLBACKS."""


def seal(purpose: str, content: bytes) -> bytes:
    """The content as it is stored; what is sealed for one purpose does not open for another."""
    return _box(purpose, settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS).encrypt(content)


def unseal(purpose: str, sealed: bytes) -> bytes:
    """The content that was stored. Raises Unreadable."""
    try:
        return _box(purpose, settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS).decrypt(bytes(sealed))
    except InvalidToken as error:
        raise Unreadable("it was sealed under another SECRET_KEY") from error


@lru_cache(maxsize=32)
def derived_key(purpose: str, secret_key: str) -> bytes:
    """256 bits for one purpose: none of them tells anything about another, or about SECRET_KEY."""
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret_key.encode())


@lru_cache(maxsize=16)
def _box(purpose: str, *keys: str) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(derived_key(purpose, key))) for key in keys])
