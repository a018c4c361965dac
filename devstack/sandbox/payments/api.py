"""What the payment gateway answers, without the network.

    POST /tokens   {"card_number", "expiry": "MM/YY", "cvc"} → 201 {"token", "last4"}
    POST /charges  {"token", "amount": "12.30", "currency": "EUR"}, header Idempotency-Key → 201 the charge;
                   200 the charge that the key has already, as it is now
    GET  /charges?key=<key> → {"items": […]}: one charge, or none
    GET  /         the test cards

A charge is {"id", "key", "status": "approved" | "declined" | "pending", "reason", "amount", "currency"}. What is wrong
with a request is 422 {"detail", "field"}, in words that repeat nothing of it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qs

import orjson

from devstack.sandbox.faults import Fault
from devstack.sandbox.messages import Answer, Document, Request
from devstack.sandbox.payments.card_behaviours import CARDS, CardBehaviour, Delays, behaviour_of, fault_of
from devstack.sandbox.payments.ledger import Ledger

_NUMBER = re.compile(r"[0-9]{12,19}")
_EXPIRY = re.compile(r"(0[1-9]|1[0-2])/([0-9]{2})")
_CVC = re.compile(r"[0-9]{3,4}")
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")
_CURRENCY = re.compile(r"[A-Z]{3}")


class Unprocessable(ValueError):
    """A field of the request cannot be what it is."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


@dataclass(frozen=True)
class ChargeRequest:
    """A request for a charge that has every field, and a token of ours."""

    key: str
    token: str
    amount: str
    currency: str
    behaviour: CardBehaviour


class Api:
    """The routes of the gateway."""

    name = "the payment gateway"
    headers: Mapping[str, str] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

    def __init__(self, ledger: Ledger, delays: Delays) -> None:
        self._ledger = ledger
        self._delays = delays

    def answer(self, request: Request) -> Answer:
        """What the gateway answers to this request, having done what it asks for."""
        try:
            return self._route(request)
        except Unprocessable as error:
            return Answer(422, {"detail": str(error), "field": error.field})

    def fault(self, request: Request) -> Fault:
        """What the card's behaviour does to a request for a charge."""
        if (request.method, request.path.rstrip("/")) != ("POST", "/charges"):
            return Fault()
        try:
            wanted = self._charge_request(request)
        except Unprocessable:
            return Fault()
        return fault_of(wanted.behaviour, self._ledger.count_attempt(wanted.key), self._delays)

    def _route(self, request: Request) -> Answer:
        match request.method, request.path.rstrip("/"):
            case "GET", "":
                return Answer(200, {"cards": {number: behaviour.sentence for number, behaviour in CARDS.items()}})
            case "POST", "/tokens":
                return self._make_token(_document(request))
            case "POST", "/charges":
                return self._charge(self._charge_request(request))
            case "GET", "/charges":
                return self._look_up(request)
        return Answer(404, {"detail": "POST /tokens, POST /charges and GET /charges are all there is"})

    def _make_token(self, document: Document) -> Answer:
        number = _text(document, "card_number").replace(" ", "").replace("-", "")
        if not _NUMBER.fullmatch(number) or not passes_luhn(number):
            raise Unprocessable("card_number", "This is not the number of a card.")
        _require_expiry(_text(document, "expiry"))
        if not _CVC.fullmatch(_text(document, "cvc")):
            raise Unprocessable("cvc", "The code has three or four digits.")
        token = self._ledger.add_token(behaviour_of(number), number[-4:])
        return Answer(201, {"token": token, "last4": number[-4:]})

    def _charge(self, wanted: ChargeRequest) -> Answer:
        made = self._ledger.add_charge(
            wanted.key, wanted.token, wanted.amount, wanted.currency, wanted.behaviour, self._delays
        )
        entry = self._ledger.charge(wanted.key)
        assert entry  # noqa: S101  it was there, or has just been added, and nothing is ever removed
        kept = (entry.token, Decimal(entry.amount), entry.currency)
        if kept != (wanted.token, Decimal(wanted.amount), wanted.currency):
            raise Unprocessable("Idempotency-Key", "The key has been used for another charge.")
        return Answer(201 if made else 200, entry.document(self._ledger.now()))

    def _look_up(self, request: Request) -> Answer:
        keys = parse_qs(request.query).get("key", [])
        if len(keys) != 1:
            raise Unprocessable("key", "One key is needed.")
        entry, now = self._ledger.charge(keys[0]), self._ledger.now()
        return Answer(200, {"items": [entry.document(now)] if entry and entry.shown_at <= now else []})

    def _charge_request(self, request: Request) -> ChargeRequest:
        document = _document(request)
        if not request.idempotency_key:
            raise Unprocessable("Idempotency-Key", "The header is missing.")
        token, amount, currency = (_text(document, name) for name in ("token", "amount", "currency"))
        if not _AMOUNT.fullmatch(amount) or not Decimal(amount):
            raise Unprocessable("amount", "An amount is a decimal text above zero with at most two places.")
        if not _CURRENCY.fullmatch(currency):
            raise Unprocessable("currency", "A currency is three capital letters.")
        behaviour = self._ledger.behaviour(token)
        if behaviour is None:
            raise Unprocessable("token", "There is no such token.")
        return ChargeRequest(request.idempotency_key, token, amount, currency, behaviour)


def passes_luhn(number: str) -> bool:
    """Whether the last digit checks the others, as it does on cards."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in number[-2::-2]]
    return (sum(doubled) + sum(int(digit) for digit in number[-1::-2])) % 10 == 0


def _require_expiry(text: str) -> None:
    """A card is valid to the end of its month."""
    found = _EXPIRY.fullmatch(text)
    if not found:
        raise Unprocessable("expiry", "An expiry is MM/YY.")
    now = datetime.now(UTC)
    if (2000 + int(found[2]), int(found[1])) < (now.year, now.month):
        raise Unprocessable("expiry", "The card has expired.")


def _document(request: Request) -> Document:
    try:
        document = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise Unprocessable("", "The body is not JSON.") from None
    if not isinstance(document, dict):
        raise Unprocessable("", "The body is not an object.")
    return document


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise Unprocessable(name, "A text is needed.")
    return value
