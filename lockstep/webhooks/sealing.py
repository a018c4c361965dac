"""Secrets at rest: encrypted with a key made from SECRET_KEY, and still readable after it was rotated.

A copy of the database alone signs nothing. Unlike a password a signing secret cannot be hashed: it is needed again.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PURPOSE = b"lockstep webhook secrets"


class Unreadable(Exception):
    """It was sealed under a SECRET_KEY that is neither the current one nor one of SECRET_KEY_FALLBACKS."""


def seal(secret: str) -> bytes:
    """The secret as it is stored."""
    return _box(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS).encrypt(secret.encode())


def unseal(sealed: bytes) -> str:
    """The secret that was stored. Raises Unreadable."""
    try:
        return _box(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS).decrypt(bytes(sealed)).decode()
    except InvalidToken as error:
        raise Unreadable("its secret was sealed under another SECRET_KEY: rotate it") from error


@lru_cache(maxsize=2)
def _box(*keys: str) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(_derived(key))) for key in keys])


def _derived(key: str) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=PURPOSE).derive(key.encode())
