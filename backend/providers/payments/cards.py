"""Turns a card into a token at the payment gateway, while the one who pays waits. Nothing here keeps the card.

The number must not be seen where things go wrong either. So errors are raised far from it: pages and logs of errors
show the variables of every frame on the way, and an error of httpx holds the request. And of what the gateway says no
digit is passed on.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import httpx

from lockstep import telemetry
from lockstep.http.client import HEADERS, IDLE_SECONDS, expect_one_encoding, trusted
from lockstep.http.errors import MalformedResponse, ProviderError, Refused, Unreachable, refusal
from lockstep.http.json_text import parse

MAX_RESPONSE_BYTES = 64 * 1024

_FIELDS = ("card_number", "expiry", "cvc")
_TOKEN = re.compile(r"tok_[A-Za-z0-9]{1,100}")
_MAX_DETAIL = 200


@dataclass(frozen=True)
class Card:
    """A card as its owner typed it; `expiry` is "MM/YY". It shows nothing of itself."""

    number: str = field(repr=False)
    expiry: str = field(repr=False)
    cvc: str = field(repr=False)


class CardRefused(Refused):
    """The gateway does not take this card."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


@dataclass(frozen=True)
class _Answer:
    """What came back."""

    status: int
    retry_after: str | None
    body: bytes = field(repr=False)


def tokenise(url: str, card: Card, timeout: float) -> str:
    """The token that stands for the card from now on.

    `timeout` is seconds: the longest silence, and what reading the answer may take. Raises CardRefused with the field
    (card_number, expiry or cvc) that the gateway refuses, else a ProviderError. An unused token has no effect:
    asking again does no harm.
    """
    outcome = _ask(url, card, timeout)
    if isinstance(outcome, ProviderError):
        raise outcome
    return outcome


def _ask(url: str, card: Card, timeout: float) -> str | ProviderError:
    try:
        answer = _post(f"{url.rstrip('/')}/tokens", card, timeout)
    except (httpx.DecodingError, MalformedResponse):
        return MalformedResponse("its text cannot be decoded")
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError, TimeoutError) as error:
        return Unreachable(type(error).__name__)
    if answer.status == 422:
        return _card_refused(answer)
    if not 200 <= answer.status < 300:
        return refusal(answer.status, retry_after=answer.retry_after)
    token = _document(answer).get("token")
    digits = "".join(filter(str.isdecimal, card.number))
    if not isinstance(token, str) or not _TOKEN.fullmatch(token) or digits in token:
        return MalformedResponse("no token came back")
    return token


def _post(address: str, card: Card, timeout: float) -> _Answer:
    end = time.monotonic() + timeout
    content = json.dumps({"card_number": card.number, "expiry": card.expiry, "cvc": card.cvc}).encode()
    with _client().stream("POST", address, content=content, headers=telemetry.headers(), timeout=timeout) as answer:
        expect_one_encoding(answer)
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if time.monotonic() > end:
                raise TimeoutError
            if len(body) > MAX_RESPONSE_BYTES:
                break
        return _Answer(answer.status_code, answer.headers.get("Retry-After"), bytes(body[:MAX_RESPONSE_BYTES]))


@cache
def _client() -> httpx.Client:
    """One for the process: making a client takes longer than asking with it."""
    return httpx.Client(
        headers={**HEADERS, "Content-Type": "application/json"},
        limits=httpx.Limits(keepalive_expiry=IDLE_SECONDS),
        verify=trusted(),
    )


def _card_refused(answer: _Answer) -> ProviderError:
    document = _document(answer)
    name, detail = document.get("field"), document.get("detail")
    if name not in _FIELDS:
        return refusal(answer.status)
    text = detail if isinstance(detail, str) and detail and detail.isprintable() else "The gateway refuses it."
    return CardRefused(name, "".join("•" if character.isdigit() else character for character in text[:_MAX_DETAIL]))


def _document(answer: _Answer) -> Mapping[str, object]:
    """The object that came back; an empty one when there is none."""
    try:
        document = parse(answer.body)
    except MalformedResponse:
        return {}
    return document if isinstance(document, dict) else {}
