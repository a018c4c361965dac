"""Turns a card into a token at the payment gateway, while the buyer waits. The card is stored nowhere.

Its number must not appear in reports of errors either. Such a report shows the variables of each frame of the
traceback, and an error of httpx holds the request: so the frames that have the card return their errors, and `tokenise`
raises them. Digits in the gateway's messages are replaced.
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
    """A card as its owner typed it; `expiry` is "MM/YY". Its repr is empty."""

    number: str = field(repr=False)
    expiry: str = field(repr=False)
    cvc: str = field(repr=False)


class CardRefused(Refused):
    """The gateway refuses this card."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


@dataclass(frozen=True)
class _Answer:
    """The gateway's response."""

    status: int
    retry_after: str | None
    body: bytes = field(repr=False)


def tokenise(url: str, card: Card, timeout: float) -> str:
    """The gateway's token of the card.

    `timeout` is in seconds, of the longest pause, and of reading the whole response. Raises CardRefused with the field
    (card_number, expiry or cvc) that the gateway refuses, or another ProviderError. An unused token has no effect, so
    that a repeat is harmless.
    """
    outcome = _request_token(url, card, timeout)
    if isinstance(outcome, ProviderError):
        raise outcome
    return outcome


def _request_token(url: str, card: Card, timeout: float) -> str | ProviderError:
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
        return MalformedResponse("no token in it")
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
    """The one client of the process: creating one takes longer than a request."""
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
    """The object in the body; an empty one if there is none."""
    try:
        document = parse(answer.body)
    except MalformedResponse:
        return {}
    return document if isinstance(document, dict) else {}
