"""Difficult texts: one list for all suites. What is equal, and what is not, is decision 35's."""

# ruff: noqa: RUF001 - letters that look like others are what this is about

import unicodedata
from itertools import count

NFD_CAFE = "cafe\u0301"
ZALGO = "Z" + "\u0301\u0316\u0345\u05b0" * 16_000  # 64,000 marks on one letter, which sorting would interchange
LONG = "ä" * 65_536

# Each pair is one text in two spellings: for search, for signing in, for names that are unique.
EQUAL = [
    ("café", NFD_CAFE),  # composed, decomposed
    ("Été", "ÉTÉ"),
    ("Äda", "äDA"),
    ("red", "\uff32\uff45\uff44"),  # fullwidth
    ("fine", "\ufb01ne"),  # a ligature
    ("office", "o\ufb03ce"),
    ("Straße", "STRASSE"),
    ("STRA\u1e9eEN", "strassen"),  # the capital of it
    ("kelvin", "\u212aelvin"),
    ("\u212bngström", "ångström"),
    ("Bosse", "Bo\u017f\u017fe"),  # long s
    ("Οδυσσεύς", "ΟΔΥΣΣΕΎΣ"),  # final sigma
    ("οδος", "οδοσ"),
    ("\u1f80", "α\u0313ι"),  # iota below, beside
    ("q\u0323\u0307", "q\u0307\u0323"),  # marks in another order
    ("İzmir", "i\u0307zmir"),
    ("Привет", "ПРИВЕТ"),
    ("Ѐлка", "\u0415\u0300лка"),
    ("Երևան", "ԵՐԵՒԱՆ"),  # a ligature with a capital of two letters
    ("თბილისი", "ᲗᲑᲘᲚᲘᲡᲘ"),  # Georgian
    ("ᎣᏏᏲ", "ꭳꮟᏺ"),  # Cherokee folds to its capitals
    ("𐐔𐐯𐑅", "𐐼𐐯𐑅"),  # beyond 16 bits
    ("ガス", "\uff76\uff9e\uff7d"),  # halfwidth
    ("한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8"),  # Hangul in letters
    ("سلام", "\ufeb3\ufee0\ufe8e\ufee1"),  # Arabic in presentation forms
    ("नमस्ते", "\u0928\u092e\u0938\u094d\u0924\u0947"),
    ("क़लम", "\u0958लम"),  # composed, and stays decomposed
    ("viii", "\u2167"),  # a numeral of one character
    ("m2", "m\u00b2"),
]
# The same, with what is not a letter: for labels and searched texts, not for names of users.
EQUAL_LABELS = [
    *EQUAL,
    ("❤\ufe0f love", "❤ LOVE"),  # as a picture, as a text
    ("👩\u200d👧", "👩\u200d👧\ufe0f"),
    ("no\u00a0break", "No Break"),
    ("½ price", "1\u20442 PRICE"),
]
# Not equal, however alike.
DIFFERENT = [
    ("café", "cafe"),
    ("İzmir", "izmir"),  # Turkish letters are letters of their own
    ("kıl", "kil"),
    ("раура", "paypa"),  # Cyrillic
    ("Müller", "Mueller"),
    ("o1", "01"),
    ("Ødegård", "Odegård"),
]
# In names of users and tags; with the character that the answer names.
INVISIBLE = [
    ("zero\u200bwidth", "U+200B"),
    ("over\u202eride", "U+202E"),
    ("mark\u200e", "U+200E"),
    ("soft\u00adhyphen", "U+00AD"),
    ("\ufeffmark", "U+FEFF"),
    ("filler\u3164", "U+3164"),
    ("tag\U000e0061", "U+E0061"),
    ("private\ue000", "U+E000"),
    ("bell\x07", "U+0007"),
    ("line\u2028two", "U+2028"),
]
UNSTORABLE = ["nul\0l", "lone \ud800 surrogate"]
# Kept as they are, if as NFC.
KEPT = [
    *(text for text, _ in INVISIBLE[:7]),
    "שלום עולם",
    "👩\u200d👩\u200d👧\u200d👦",
    "a" + "\u0301" * 150,
    "tab\tand\nline",
]

EQUAL_ADDRESSES = [
    ("kim@example.com", "\u212aIM@example.com"),
    ("zoe@example.com", "zoe@\uff45xample.com"),
    ("\uff41my@example.com", "amy@EXAMPLE.com"),
    ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ("bob@B\u00dcCHER.example", "bob@bu\u0308cher.example"),
    ("eve@example\u3002com", "eve@example.com"),
    ("mas@masse.example", "ma\u017f@MA\u017f\u017fE.example"),
]
DIFFERENT_ADDRESSES = [("ida@straße.example", "ida@strasse.example"), ("ivo@ıbm.example", "ivo@ibm.example")]
IMPOSSIBLE_ADDRESSES = [
    "a@😀.example",
    "a@-b.example",
    "a@b..example",
    "a@" + "b" * 64 + ".example",
    "ı@example.com",
    "a\u200b@example.com",
    "a@exa mple.com",
    "a\0@example.com",
]

_numbers = count()


def unlike(text: str) -> str:
    """The text with something that no other test has written."""
    return f"{text}x{next(_numbers)}q"


def is_name(text: str) -> bool:
    """Whether it can be the name of a user: letters, digits and @ . + - _ once it is NFKC."""
    return all(one.isalnum() or one in "@.+-_" for one in unicodedata.normalize("NFKC", text))
