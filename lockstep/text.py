"""The forms in which texts are stored. How they are compared is the database's: changes/folding.py.

Texts are stored as NFC, names and addresses as NFKC, domains as IDNA (decision 35).
"""

import unicodedata
from typing import Literal

import idna

MAX_MARKS = 30  # that follow each other, as in UAX #15: sorting them takes the square of how many there are
MAX_ADDRESS = 254  # characters of an e-mail address
MAX_NORMALISED = 100_000  # characters
# Of category Lo, Mn or So, and yet nothing is seen of them.
BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
JOINERS = frozenset("\u200c\u200d\ufe0e\ufe0f")  # they make other letters and pictures of those beside them
MARKS_WITHOUT_CLASS = frozenset("\u0f73\u0f75\u0f81")  # become marks that are sorted


def nfc(text: str) -> str:
    """A text as it is stored: the same characters, each written in one way."""
    return _normalised("NFC", text)


def nfkc(text: str) -> str:
    """A name as it is stored: fullwidth letters, ligatures and the Kelvin sign are the letters that they look like."""
    return _normalised("NFKC", text)


def address(text: str) -> str:
    """An e-mail address as it is stored, with the domain as DNS has it. Raises ValueError where there is none."""
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
    """What a user signs in with, in the form in which it would be stored; what cannot be an address stays a name."""
    try:
        return address(text)
    except ValueError:
        return nfkc(text)


def readable_address(text: str) -> str:
    """A stored e-mail address with the letters of its domain."""
    local, at, domain = text.rpartition("@")
    try:
        return f"{local}{at}{idna.decode(domain)}" if "xn--" in domain else text
    except (idna.IDNAError, UnicodeError):
        return text


def check_visible(text: str) -> None:
    """Raises ValueError for a name in which something is not seen, or more marks stand on a letter than can be."""
    for character in text:
        if character in BLANKS or (character not in JOINERS and unicodedata.category(character) in INVISIBLE):
            raise ValueError(f"Must not contain invisible or control characters: U+{ord(character):04X}.")
    if _is_piled_up(text):
        raise ValueError(f"Must not contain more than {MAX_MARKS} combining marks in a row.")


# Control, format, surrogate, private use, unassigned, line and paragraph separators.
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _normalised(form: Literal["NFC", "NFKC"], text: str) -> str:
    """The text itself where normalising it would take long; its comparison key is bounded by the database."""
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
