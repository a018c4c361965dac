"""Normalisation of stored texts. The database compares them: entities/folding.py.

Texts are stored in NFC, names and addresses in NFKC, domains in IDNA (decision 35).
"""

import unicodedata
from typing import Literal

import idna

MAX_MARKS = 30  # in a row, as in UAX #15: sorting them takes the square of their number
MAX_ADDRESS = 254  # characters of an e-mail address
MAX_NORMALISED = 100_000  # characters
# Invisible, although of category Lo, Mn or So.
BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
JOINERS = frozenset("\u200c\u200d\ufe0e\ufe0f")  # they change the letters and pictures beside them
MARKS_WITHOUT_CLASS = frozenset("\u0f73\u0f75\u0f81")  # become marks that are sorted


def nfc(text: str) -> str:
    """A text in the form in which it is stored (NFC)."""
    return _normalised("NFC", text)


def nfkc(text: str) -> str:
    """A name in the form in which it is stored (NFKC): compatibility characters such as ligatures become letters."""
    return _normalised("NFKC", text)


def address(text: str) -> str:
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
        return address(text)
    except ValueError:
        return nfkc(text)


def readable_address(text: str) -> str:
    """A stored e-mail address with its domain in Unicode."""
    local, at, domain = text.rpartition("@")
    try:
        return f"{local}{at}{idna.decode(domain)}" if "xn--" in domain else text
    except (idna.IDNAError, UnicodeError):
        return text


def check_visible(text: str) -> None:
    """Raises ValueError for a name with invisible characters or too many combining marks in a row."""
    for character in text:
        if character in BLANKS or (character not in JOINERS and unicodedata.category(character) in INVISIBLE):
            raise ValueError(f"Must not contain invisible or control characters: U+{ord(character):04X}.")
    if _is_piled_up(text):
        raise ValueError(f"Must not contain more than {MAX_MARKS} combining marks in a row.")


# Control, format, surrogate, private use, unassigned, line and paragraph separators.
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _normalised(form: Literal["NFC", "NFKC"], text: str) -> str:
    """The normalised text; unchanged if that would take too long. The database limits its comparison key."""
    if text.isascii() or len(text) > MAX_NORMALISED or _is_piled_up(text):
        return text
    return unicodedata.normalize(form, text)


def _is_piled_up(text: str) -> bool:
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) or character in MARKS_WITHOUT_CLASS else 0
        if run > MAX_MARKS:
            return True
    return False
