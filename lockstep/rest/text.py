"""Normalisation of stored texts: texts are stored in NFC, names in NFKC (decision 35)."""

import unicodedata

__all__ = ["check_visible", "nfc", "nfkc"]

MAX_MARKS = 30  # in a row, as in UAX #15: sorting them takes the square of their number
MAX_NORMALISED = 100_000  # characters
# Invisible, although of category Lo, Mn or So.
BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
JOINERS = frozenset("\u200c\u200d\ufe0e\ufe0f")  # they change the letters and pictures beside them
MARKS_WITHOUT_CLASS = frozenset("\u0f73\u0f75\u0f81")  # become marks that are sorted


def nfc(text: str) -> str:
    """A text in the form in which it is stored (NFC); unchanged if normalising it would take too long."""
    return text if text.isascii() or _takes_too_long(text) else unicodedata.normalize("NFC", text)


def nfkc(text: str) -> str:
    """A name in the form in which it is stored (NFKC): compatibility characters such as ligatures become letters."""
    return text if text.isascii() or _takes_too_long(text) else unicodedata.normalize("NFKC", text)


def check_visible(text: str) -> None:
    """Raises ValueError for a name with invisible characters or too many combining marks in a row."""
    for character in text:
        if character in BLANKS or (character not in JOINERS and unicodedata.category(character) in INVISIBLE):
            raise ValueError(f"Must not contain invisible or control characters: U+{ord(character):04X}.")
    if _is_piled_up(text):
        raise ValueError(f"Must not contain more than {MAX_MARKS} combining marks in a row.")


# Control, format, surrogate, private use, unassigned, line and paragraph separators.
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _takes_too_long(text: str) -> bool:
    """Whether a text is not normalised. The database limits its comparison key."""
    return len(text) > MAX_NORMALISED or _is_piled_up(text)


def _is_piled_up(text: str) -> bool:
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) or character in MARKS_WITHOUT_CLASS else 0
        if run > MAX_MARKS:
            return True
    return False
