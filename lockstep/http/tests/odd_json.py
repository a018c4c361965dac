"""JSON values that most systems never send, as text: some parsers refuse them, and some choke on them."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Raw:
    """A text that is written into a document verbatim."""

    text: str


NESTED = "[" * 900 + "]" * 900
ODD = [
    Raw(text)
    for text in (
        "null", "true", "-1", "0", "1.5", "-0.0", "1e5", "1e308", "1e999", "-1e999", "NaN", "Infinity", "-Infinity",
        "9007199254740991", "9007199254740992", "999999999999999999", "9223372036854775808", "18446744073709551616",
        "9" * 5_000, "1" + "0" * 400, "1e-5000", '""', '" "', '"0"', '"007"', '"1_0"', '"9007199254740992"',
        '"' + "9" * 18 + '"', '"' + "9" * 5_000 + '"', r'"\ud800"', r'"a\udfffb"', r'"\ud83d\ude00"', r'"\u0000"',
        r'"a\u0000b"', r'"\\u0000"', r'"\u0007\u001b[31m"', r'"\u202e\u2028\ufeff\uffff"', r'"\t\r\n"', '"\ud800"',
        '"\\udcff"', '"' + "x" * 200_000 + '"', "[]", "{}", '[{"id": 1}]', '{"error": "busy"}', '{"id": 1, "id": null}',
        '{"": ""}', NESTED, '{"a":' * 900 + "1" + "}" * 900, "[" * 5_000 + "]" * 5_000, "[" * 200_000,
    )
]  # fmt: skip


def dumps(value: object) -> str:
    """The text of a document in which Raw stands for itself."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {dumps(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dumps, value)) + "]"
    return json.dumps(value)


def encode(text: str) -> bytes:
    """UTF-8, a lone surrogate as the bytes that no decoder takes."""
    return text.encode("utf-8", "surrogatepass")
