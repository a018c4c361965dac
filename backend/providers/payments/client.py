"""The client of the payment gateway: charges tokens, and looks charges up.

Each charge has a key of ours. A request with the same key charges nothing again, so that a charge whose response was
lost can be requested again, or looked up. For some time a look-up may not find a charge that exists.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

from lockstep.http.client import HttpClient, expect_success, read_object
from lockstep.http.errors import MalformedResponse
from lockstep.http.json_text import excerpt

Status = Literal["approved", "declined", "pending"]

_MAX_TEXT = 200
_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")


@dataclass(frozen=True)
class Charge:
    """A charge at the gateway. A `pending` one is not decided yet: look it up later."""

    id: str
    status: Status
    reason: str | None
    """Why it is declined, in the gateway's words, such as "card_declined"."""
    amount: Decimal


class PaymentGateway(HttpClient):
    """Charges at one gateway."""

    provider = "payments"

    async def charge(self, token: str, amount: Decimal, currency: str, key: str) -> Charge:
        """Charges the token's card, once for each key.

        `currency` is a code of ISO 4217, such as "EUR". Raises Refused for an unknown token, and for a key that was
        used with another token, amount or currency.
        """
        body = {"token": token, "amount": f"{amount:f}", "currency": currency}
        async with (
            self._operation(write=True) as operation,
            self._answer(operation, "POST", "/charges", body=body, headers={"Idempotency-Key": key}) as answer,
        ):
            await expect_success(answer, operation)
            document = await read_object(answer)
            charge = _charge(document, key)
            if (charge.amount, document.get("currency")) != (amount, currency):
                raise MalformedResponse("the charge is of another amount or currency")
            return charge

    async def look_up(self, key: str) -> Charge | None:
        """The charge with this key, or None if the gateway has none yet."""
        async with (
            self._operation(write=False) as operation,
            self._answer(operation, "GET", "/charges", params={"key": key}) as answer,
        ):
            await expect_success(answer, operation)
            items = (await read_object(answer)).get("items")
            if not isinstance(items, list) or len(items) > 1:
                raise MalformedResponse("a list of at most one charge was expected")
            return _charge(items[0], key) if items else None


def _charge(document: object, key: str) -> Charge:
    """The charge in a document. Raises MalformedResponse, also for one with another key."""
    if not isinstance(document, dict) or document.get("key") != key:
        raise MalformedResponse("not the charge of this key")
    status: Any = document.get("status")
    reason = document.get("reason")
    if status not in get_args(Status):
        raise MalformedResponse(f"not a status: {excerpt(status)}")
    if reason is not None and not _is_text(reason):
        raise MalformedResponse(f"not a reason: {excerpt(reason)}")
    return Charge(_id(document), status, reason, _amount(document))


def _id(document: Mapping[str, object]) -> str:
    value = document.get("id")
    if not _is_text(value):
        raise MalformedResponse(f"not an id: {excerpt(value)}")
    return str(value)


def _amount(document: Mapping[str, object]) -> Decimal:
    """Amounts are strings: parsers read JSON numbers as floats."""
    value = document.get("amount")
    amount = Decimal(value) if isinstance(value, str) and _AMOUNT.fullmatch(value) else Decimal()
    if amount <= 0:
        raise MalformedResponse(f"not an amount: {excerpt(value)}")
    return amount


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable()
