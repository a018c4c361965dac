"""Encryption of secrets at rest, with a key derived from SECRET_KEY; SECRET_KEY_FALLBACKS still decrypt.

A copy of the database alone reveals nothing. Unlike passwords these are needed in plain text, so they are not hashed.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

__all__ = ["derived_key"]


class DecryptionFailed(Exception):
    """The content was encrypted under a SECRET_KEY that is neither the current one nor in SECRET_KEY_FALLBACKS."""


def encrypt(purpose: str, content: bytes) -> bytes:
    """Encrypts content for one purpose; it cannot be decrypted for another."""
    return _fernet(purpose, settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS).encrypt(content)


def decrypt(purpose: str, encrypted: bytes) -> bytes:
    """The content that was stored. Raises DecryptionFailed."""
    try:
        return _fernet(purpose, settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS).decrypt(bytes(encrypted))
    except InvalidToken as error:
        raise DecryptionFailed("it was encrypted under another SECRET_KEY") from error


@lru_cache(maxsize=32)
def derived_key(purpose: str, secret_key: str) -> bytes:
    """A 256-bit key for one purpose, which reveals neither the key of another purpose nor SECRET_KEY."""
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret_key.encode())


@lru_cache(maxsize=16)
def _fernet(purpose: str, *keys: str) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(derived_key(purpose, key))) for key in keys])
