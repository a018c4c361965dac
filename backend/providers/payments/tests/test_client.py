"""What the client makes of a gateway's answers. What a gateway can do meanwhile is in the stand-in's tests."""

import asyncio
from decimal import Decimal
from functools import partial

import httpx
import orjson
import pytest

from backend.providers.payments import Charge, PaymentGateway
from backend.providers.tests import support
from lockstep.http.errors import MalformedResponse, Refused, ServerError, Throttled, Unreachable

KEY = "order-1"
AMOUNT = Decimal("12.30")
talk = partial(support.talk, PaymentGateway)
fails = partial(support.fails, PaymentGateway)
APPROVED = {"id": "ch_1", "key": KEY, "status": "approved", "reason": None, "amount": "12.30", "currency": "EUR"}
DECLINED = {**APPROVED, "status": "declined", "reason": "card_declined"}


def charge(client):
    return client.charge("tok_1", AMOUNT, "EUR", KEY)


def look_up(client):
    return client.look_up(KEY)


def answering(status, document):
    return lambda request: httpx.Response(status, content=orjson.dumps(document))


def test_requests_have_the_key_the_token_and_the_amount():
    seen = []
    talk(lambda request: seen.append(request) or httpx.Response(201, json=APPROVED), charge)
    talk(lambda request: seen.append(request) or httpx.Response(200, json={"items": []}), look_up)
    assert [(request.method, str(request.url)) for request in seen] == [
        ("POST", "http://provider/charges"),
        ("GET", "http://provider/charges?key=order-1"),
    ]
    assert orjson.loads(seen[0].content) == {"token": "tok_1", "amount": "12.30", "currency": "EUR"}
    assert seen[0].headers["Idempotency-Key"] == KEY


@pytest.mark.parametrize("status", [200, 201])
def test_a_charge_and_its_repetition_are_the_same(status):
    assert talk(answering(status, APPROVED), charge) == Charge("ch_1", "approved", None, AMOUNT)
    assert talk(answering(status, DECLINED), charge) == Charge("ch_1", "declined", "card_declined", AMOUNT)


def test_amounts_are_compared_as_numbers_and_sent_without_an_exponent():
    seen = []
    answer = {**APPROVED, "amount": "1000.00"}
    handler = lambda request: seen.append(request.content) or httpx.Response(201, json=answer)  # noqa: E731
    assert talk(handler, lambda client: client.charge("tok_1", Decimal("1E+3"), "EUR", KEY)).amount == 1000
    assert orjson.loads(seen[0])["amount"] == "1000"


def test_a_look_up_finds_one_or_none():
    assert talk(answering(200, {"items": []}), look_up) is None
    pending = {**APPROVED, "status": "pending"}
    assert talk(answering(200, {"items": [pending]}), look_up) == Charge("ch_1", "pending", None, AMOUNT)


BAD_CHARGES = [
    {**APPROVED, "key": "order-2"},
    {**APPROVED, "key": None},
    {**APPROVED, "status": "maybe"},
    {**APPROVED, "status": None},
    {**APPROVED, "status": ["approved"]},
    {**APPROVED, "id": ""},
    {**APPROVED, "id": 7},
    {**APPROVED, "id": "ch_\0"},
    {**APPROVED, "id": "x" * 201},
    {**APPROVED, "reason": 7},
    {**APPROVED, "reason": "x" * 201},
    {**APPROVED, "amount": 12.30},
    {**APPROVED, "amount": "NaN"},
    {**APPROVED, "amount": "-12.30"},
    {**APPROVED, "amount": "a lot"},
    {},
    [],
    None,
]


@pytest.mark.parametrize("document", [*BAD_CHARGES, {**APPROVED, "amount": "12.31"}, {**APPROVED, "currency": "USD"}])
def test_charge_with_an_invalid_response_has_an_unknown_outcome(document):
    error = fails(answering(201, document), charge)
    assert type(error) is MalformedResponse
    assert (error.retryable, error.outcome_unknown) == (True, True)


@pytest.mark.parametrize("items", [*([bad] for bad in BAD_CHARGES), [APPROVED, APPROVED], None, {}, "none"])
def test_look_up_with_an_invalid_response_is_malformed(items):
    error = fails(answering(200, {"items": items}), look_up)
    assert type(error) is MalformedResponse
    assert error.outcome_unknown is False


@pytest.mark.parametrize(
    ("status", "kind", "maybe"), [(422, Refused, False), (429, Throttled, False), (503, Throttled, True)]
)
def test_refusal_says_whether_the_charge_may_exist(status, kind, maybe):
    error = fails(answering(status, {}), charge)
    assert type(error) is kind
    assert error.outcome_unknown is maybe


def test_charge_that_fails_with_500_has_an_unknown_outcome():
    error = fails(answering(500, {}), charge)
    assert type(error) is ServerError
    assert (error.retryable, error.outcome_unknown) == (True, True)


@pytest.mark.parametrize("work", [charge, look_up])
def test_lost_response_of_a_charge_has_an_unknown_outcome(work):
    def handler(request):
        raise httpx.ReadError("gone")

    error = fails(handler, work)
    assert type(error) is Unreachable
    assert error.outcome_unknown is (work is charge)


@pytest.mark.parametrize("work", [charge, look_up])
def test_silence_ends_at_the_deadline(work):
    async def handler(request):
        await asyncio.Event().wait()

    error = fails(handler, work, deadline=0.1)
    assert type(error) is Unreachable
    assert error.outcome_unknown is (work is charge)


def test_invalid_gateway_url_is_refused():
    with pytest.raises(ValueError, match="not an http URL"):
        PaymentGateway("")
