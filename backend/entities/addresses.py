"""E-mail addresses as they are stored: in NFKC, with their domain in IDNA (decision 35)."""

import idna

from lockstep.rest.text import nfkc

MAX_ADDRESS = 254  # characters of an e-mail address


def stored_address(text: str) -> str:
    """An e-mail address in the form in which it is stored, with an ASCII domain. Raises ValueError."""
    local, at, domain = nfkc(text).rpartition("@")
    if not at or domain.startswith("["):
        return nfkc(text)
    if not local.isascii():
        raise ValueError("The part of an e-mail address before the @ must consist of ASCII characters.")
    try:
        return f"{local}@{idna.encode(domain, uts46=True, std3_rules=True).decode('ascii')}"
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError("The domain of this e-mail address is not a valid domain name.") from error


def name_or_address(text: str) -> str:
    """The user name or e-mail address of a sign-in, in the form in which it would be stored."""
    try:
        return stored_address(text)
    except ValueError:
        return nfkc(text)


def readable_address(text: str) -> str:
    """A stored e-mail address with its domain in Unicode."""
    local, at, domain = text.rpartition("@")
    try:
        return f"{local}{at}{idna.decode(domain)}" if "xn--" in domain else text
    except (idna.IDNAError, UnicodeError):
        return text
