"""The gateway's stand-in, over HTTP and through our own clients: its cards, its keys, and what it keeps."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from backend.providers.payments import Card, CardRefused, PaymentGateway, tokenise
from devstack.sandbox.payments import Delays, StandIn, card_behaviours
from devstack.sandbox.payments.api import passes_luhn
from lockstep.http.client import trusted
from lockstep.http.errors import Refused, ServerError, Throttled, Unreachable

ROOT = Path(__file__).resolve().parents[4]
AMOUNT = Decimal("12.30")
TYPED = {"card_number": card_behaviours.PAYS, "expiry": "12/40", "cvc": "123"}
THIS_MONTH = datetime.now(UTC).strftime("%m/%y")
BRIEF = 0.5  # seconds that we wait for an answer that does not come
DELAYS = Delays(silence=600, hidden=600, undecided=1200)


@pytest.fixture
def gateway():
    with StandIn(delays=DELAYS) as running:
        yield running


@pytest.fixture
def http(gateway):
    with httpx.Client(base_url=gateway.url, timeout=10, trust_env=False, verify=trusted()) as client:
        yield client


def charge(gateway, card, key="key-1", amount=AMOUNT, deadline=10.0):
    """One request for a charge through our client, with a new token of the card."""

    async def run():
        async with PaymentGateway(gateway.url, deadline=deadline) as client:
            return await client.charge(token, amount, "EUR", key)

    token = card if card.startswith("tok_") else gateway.token(card)
    return asyncio.run(run())


def look_up(gateway, key="key-1"):
    async def run():
        async with PaymentGateway(gateway.url) as client:
            return await client.look_up(key)

    return asyncio.run(run())


# Tokens


def test_a_card_becomes_a_token(gateway, http):
    answer = http.post("/tokens", json=TYPED)
    assert answer.status_code == 201
    assert answer.json() == {"token": answer.json()["token"], "last4": "4242"}
    assert charge(gateway, answer.json()["token"]).status == "approved"


@pytest.mark.parametrize(
    "number", [*card_behaviours.CARDS, "5555555555554444", "4242 4242 4242 4242", "4242-4242-4242-4242"]
)
def test_valid_numbers_become_tokens(gateway, number):
    assert tokenise(gateway.url, Card(number, THIS_MONTH, "1234"), 5).startswith("tok_")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"card_number": "4242424242424241"}, "card_number"),
        ({"card_number": "42424242424"}, "card_number"),
        ({"card_number": "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"}, "card_number"),
        ({"card_number": 4242424242424242}, "card_number"),
        ({"card_number": None}, "card_number"),
        ({"expiry": "12/20"}, "expiry"),
        ({"expiry": "13/40"}, "expiry"),
        ({"expiry": "12/2040"}, "expiry"),
        ({"cvc": "12"}, "cvc"),
        ({"cvc": "12345"}, "cvc"),
        ({"cvc": "abc"}, "cvc"),
    ],
)
def test_invalid_cards_are_refused_by_field(http, change, field):
    answer = http.post("/tokens", json={**TYPED, **change})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert str(change.get("card_number")) not in answer.text


def test_a_refusal_reaches_us_as_one(gateway):
    with pytest.raises(CardRefused, match=r"cvc: The code has three or four digits\."):
        tokenise(gateway.url, Card(card_behaviours.PAYS, "12/40", "x"), 5)


def test_a_card_is_valid_to_the_end_of_its_month(http):
    now = datetime.now(UTC)
    last_month = f"{(now.month - 2) % 12 + 1:02}/{(now.year - (now.month == 1)) % 100:02}"
    assert http.post("/tokens", json={**TYPED, "expiry": THIS_MONTH}).status_code == 201
    assert http.post("/tokens", json={**TYPED, "expiry": last_month}).status_code == 422


def test_luhn_refuses_every_single_wrong_digit():
    assert all(passes_luhn(number) for number in card_behaviours.CARDS)
    assert not any(passes_luhn(card_behaviours.PAYS[:-1] + digit) for digit in "013456789")
    assert not passes_luhn("2424242424242424")  # two digits changed places


@pytest.mark.parametrize("path", ["/tokens", "/charges"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7"])
def test_a_body_that_is_no_object_is_422(http, path, body):
    answer = http.post(path, content=body, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, sorted(answer.json())) == (422, ["detail", "field"])


def test_of_a_card_only_its_behaviour_and_four_digits_are_kept(tmp_path, caplog, capfd):
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    with StandIn(folder=tmp_path) as gateway:
        token = tokenise(gateway.url, Card(card_behaviours.LACKS_FUNDS, "12/40", "987"), 5)
        charge(gateway, token)
        with pytest.raises(CardRefused):
            tokenise(gateway.url, Card("4000000000009996", "12/40", "987"), 5)
        requests = repr(gateway.requests())
        kept = [path.read_bytes() for path in tmp_path.iterdir()]
    texts = [caplog.text, *capfd.readouterr(), requests, *(one.decode("latin-1") for one in kept)]
    assert any(token in text and "lacks funds" in text for text in texts)
    assert not any(secret in text for text in texts for secret in (card_behaviours.LACKS_FUNDS, "4000000000009996"))


# Charges


@pytest.mark.parametrize(
    ("card", "status", "reason"),
    [
        (card_behaviours.PAYS, "approved", None),
        ("5555555555554444", "approved", None),
        (card_behaviours.IS_DECLINED, "declined", "card_declined"),
        (card_behaviours.LACKS_FUNDS, "declined", "insufficient_funds"),
    ],
)
def test_cards_that_are_decided_at_once(gateway, card, status, reason):
    made = charge(gateway, card)
    assert (made.status, made.reason, made.amount) == (status, reason, AMOUNT)
    assert look_up(gateway) == made
    assert [one["id"] for one in gateway.charges()] == [made.id]


def test_a_key_charges_once(gateway, http):
    body = {"token": gateway.token(card_behaviours.PAYS), "amount": "12.30", "currency": "EUR"}
    answers = [http.post("/charges", json=body, headers={"Idempotency-Key": "k"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert [answer.json() for answer in answers] == gateway.charges() * 3


def test_a_key_charges_once_however_many_ask_at_the_same_time(gateway):
    token, answers = gateway.token(card_behaviours.PAYS), []
    threads = [threading.Thread(target=lambda: answers.append(charge(gateway, token))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(set(answers)) == len(gateway.charges()) == 1


@pytest.mark.parametrize("change", [{"amount": "12.31"}, {"currency": "USD"}, {"token": "other"}])
def test_a_key_of_another_charge_is_refused(gateway, http, change):
    other = {"token": gateway.token(card_behaviours.PAYS)} if "token" in change else change
    body = {"token": gateway.token(card_behaviours.PAYS), "amount": "12.30", "currency": "EUR"}
    http.post("/charges", json=body, headers={"Idempotency-Key": "k"})
    answer = http.post("/charges", json={**body, **other}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")
    assert len(gateway.charges()) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"token": "tok_unknown"}, "token"),
        ({"token": None}, "token"),
        ({"amount": "0.00"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1.234"}, "amount"),
        ({"amount": 12.3}, "amount"),
        ({"currency": "eur"}, "currency"),
    ],
)
def test_an_invalid_charge_names_the_field(gateway, http, change, field):
    body = {"token": gateway.token(card_behaviours.PAYS), "amount": "12.30", "currency": "EUR", **change}
    answer = http.post("/charges", json=body, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert gateway.charges() == []


def test_a_charge_needs_a_key(gateway, http):
    body = {"token": gateway.token(card_behaviours.PAYS), "amount": "12.30", "currency": "EUR"}
    assert http.post("/charges", json=body).json()["field"] == "Idempotency-Key"
    assert http.get("/charges").json()["field"] == "key"
    with pytest.raises(Refused):
        charge(gateway, "tok_unknown")


def test_unknown_routes_are_404(http):
    assert {http.request(*route).status_code for route in [("GET", "/tokens"), ("PUT", "/charges")]} == {404}


def test_the_first_page_lists_the_cards(http):
    assert set(http.get("/").json()["cards"]) == set(card_behaviours.CARDS)


# Behaviours


def test_an_answer_that_is_lost_after_the_charge(gateway):
    token = gateway.token(card_behaviours.LOSES_THE_ANSWER)
    with pytest.raises(Unreachable) as caught:
        charge(gateway, token, deadline=BRIEF)
    assert caught.value.outcome_unknown
    found = look_up(gateway)
    assert found.status == "approved"
    assert charge(gateway, token) == found
    assert len(gateway.charges()) == 1


def test_a_request_that_is_lost_before_the_charge(gateway):
    token = gateway.token(card_behaviours.LOSES_THE_REQUEST)
    with pytest.raises(Unreachable) as caught:
        charge(gateway, token, deadline=BRIEF)
    assert caught.value.outcome_unknown
    assert look_up(gateway) is None
    assert charge(gateway, token).status == "approved"
    assert len(gateway.charges()) == 1


@pytest.mark.parametrize(
    ("card", "status", "reason"),
    [(card_behaviours.DECIDES_LATE, "approved", None), (card_behaviours.DECLINES_LATE, "declined", "card_declined")],
)
def test_a_charge_that_is_decided_late(gateway, card, status, reason):
    with pytest.raises(Unreachable):
        charge(gateway, card, deadline=BRIEF)
    assert look_up(gateway) is None
    gateway.skip(DELAYS.hidden)
    found = look_up(gateway)
    assert (found.status, found.reason) == ("pending", None)
    gateway.skip(DELAYS.undecided - DELAYS.hidden)
    decided = look_up(gateway)
    assert (decided.id, decided.status, decided.reason) == (found.id, status, reason)
    assert len(gateway.charges()) == 1


def test_asking_again_for_a_charge_that_is_being_decided(gateway):
    token = gateway.token(card_behaviours.DECIDES_LATE)
    with pytest.raises(Unreachable):
        charge(gateway, token, deadline=BRIEF)
    assert charge(gateway, token).status == gateway.charges()[0]["status"] == "pending"
    gateway.skip(DELAYS.undecided)
    assert charge(gateway, token).status == gateway.charges()[0]["status"] == "approved"
    assert len(gateway.charges()) == 1


def test_a_line_that_is_cut_after_the_charge_and_answers_twice(gateway):
    token = gateway.token(card_behaviours.CUTS_THE_LINE)
    with pytest.raises(Unreachable) as caught:
        charge(gateway, token)
    assert caught.value.outcome_unknown
    again = [charge(gateway, token) for _ in range(2)]
    assert [one.id for one in again] == [gateway.charges()[0]["id"]] * 2
    assert len(gateway.charges()) == 1


def test_two_failures_and_then_a_charge(gateway):
    token = gateway.token(card_behaviours.FAILS_TWICE)
    for _ in range(2):
        with pytest.raises(ServerError):
            charge(gateway, token)
        assert gateway.charges() == []
    assert charge(gateway, token).status == "approved"


def test_each_key_meets_the_behaviour_of_the_card_anew(gateway):
    token = gateway.token(card_behaviours.CUTS_THE_LINE)
    for key in ("a", "b"):
        with pytest.raises(Unreachable):
            charge(gateway, token, key)
        assert charge(gateway, token, key).status == "approved"
    assert [one["key"] for one in gateway.charges()] == ["a", "b"]


def test_requested_faults_precede_the_profile_and_requests_are_counted(gateway):
    gateway.faults(status=503, path="/charges", times=1)
    token = gateway.token(card_behaviours.CUTS_THE_LINE)
    with pytest.raises(Throttled):
        charge(gateway, token)
    with pytest.raises(Unreachable):
        charge(gateway, token)
    assert gateway.counts() == {"POST /charges": 2}
    assert len(gateway.charges()) == 1


# Restarts and processes


def test_a_folder_keeps_tokens_charges_and_attempts(tmp_path):
    with StandIn(folder=tmp_path / "new") as gateway:
        tokens = [gateway.token(card) for card in (card_behaviours.PAYS, card_behaviours.FAILS_TWICE)]
        made = charge(gateway, tokens[0])
        with pytest.raises(ServerError):
            charge(gateway, tokens[1], "key-2")
    with StandIn(folder=tmp_path / "new") as gateway:
        assert charge(gateway, tokens[0]) == look_up(gateway) == made
        with pytest.raises(ServerError):
            charge(gateway, tokens[1], "key-2")
        assert charge(gateway, tokens[1], "key-2").status == "approved"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_the_process_prints_its_address_and_ends_at_sigterm(tmp_path, number):
    command = [sys.executable, "-m", "devstack.sandbox.payments", "--port=0", f"--folder={tmp_path}", "--silence=600"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().removeprefix("Payment gateway stand-in listens on ").strip()
            token = tokenise(url, Card(card_behaviours.LOSES_THE_ANSWER, "12/40", "123"), 10)
            body, key = {"token": token, "amount": "1.00", "currency": "EUR"}, {"Idempotency-Key": "k"}
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{url}/charges", json=body, headers=key, timeout=BRIEF, trust_env=False, verify=trusted())
            os.kill(process.pid, number)
            rest, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, rest, errors) == (0, "", "")
