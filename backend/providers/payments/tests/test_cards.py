"""Cards become tokens, and no trace of a card is left wherever it goes wrong."""

import logging
import traceback

import httpx
import pytest

from backend.providers.payments import Card, CardRefused, cards, tokenise
from lockstep.http.errors import MalformedResponse, ProviderError, Refused, ServerError, Throttled, Unreachable

NUMBER = "4242424242424242"
CARD = Card(NUMBER, "12/40", "987")
TOKEN = {"token": "tok_abc", "last4": "4242"}
TYPED = "4242 4242 4242 4242"


@pytest.fixture
def gateway(monkeypatch):
    """Lets a function answer in the gateway's place."""

    def answer_with(handler):
        client = httpx.Client(transport=httpx.MockTransport(handler), headers=cards._client().headers)
        monkeypatch.setattr(cards, "_client", lambda: client)

    return answer_with


def fails(card=CARD, url="http://gateway"):
    with pytest.raises(ProviderError) as caught:
        tokenise(url, card, 5)
    assert_nothing_is_shown(caught.value)
    return caught.value


def assert_nothing_is_shown(error):
    """Not in its words, not in a trace with the variables of its frames, not in an error behind it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if "/tests/" not in frame.f_code.co_filename]
    shown = [str(error), repr(error), repr(vars(error)), *(repr(frame.f_locals) for frame in ours)]
    assert not any(secret in text for text in shown for secret in (NUMBER, TYPED, "987"))
    assert (error.__cause__, error.__context__) == (None, None)


def test_the_representation_of_a_card_has_no_digits():
    assert repr(CARD) == str(CARD) == f"{CARD}" == "Card()"
    with pytest.raises(AttributeError) as caught:
        CARD.number = "1"
    assert NUMBER not in str(caught.value)


def test_tokenise_posts_the_card_as_json(gateway):
    seen = []
    gateway(lambda request: seen.append(request) or httpx.Response(201, json=TOKEN))
    assert tokenise("http://gateway/v1/", CARD, 5) == "tok_abc"
    assert (seen[0].method, str(seen[0].url)) == ("POST", "http://gateway/v1/tokens")
    assert seen[0].content == b'{"card_number": "4242424242424242", "expiry": "12/40", "cvc": "987"}'
    assert seen[0].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("name", ["card_number", "expiry", "cvc"])
def test_a_refused_card_names_the_field(gateway, name):
    gateway(lambda request: httpx.Response(422, json={"field": name, "detail": "It is over."}))
    error = fails()
    assert type(error) is CardRefused
    assert (error.field, error.detail, error.retryable) == (name, "It is over.", False)


@pytest.mark.parametrize("typed", [NUMBER, TYPED])
def test_digits_in_a_refusal_are_masked(gateway, typed):
    gateway(lambda request: httpx.Response(422, json={"field": "card_number", "detail": f"{typed} is none"}))
    error = fails(Card(typed, "12/40", "987"))
    assert error.detail == "".join("•" if character.isdigit() else character for character in typed) + " is none"


@pytest.mark.parametrize("detail", [None, 7, "a\nb", ""])
def test_refusal_without_a_printable_detail_has_a_default_one(gateway, detail):
    gateway(lambda request: httpx.Response(422, json={"field": "cvc", "detail": detail}))
    assert fails().detail == "The gateway refuses it."


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Refused), (307, Refused), (422, Refused), (429, Throttled), (500, ServerError)]
)
def test_other_refusals_do_not_keep_the_response_text(gateway, status, kind):
    answer = {"detail": NUMBER, "field": NUMBER}
    gateway(lambda request: httpx.Response(status, json=answer, headers={"Location": "http://elsewhere/"}))
    assert type(fails()) is kind


@pytest.mark.parametrize(("status", "kind"), [(201, MalformedResponse), (422, Refused)])
@pytest.mark.parametrize("content", [b"", b"<html>" + NUMBER.encode(), b"[]", b'"4242424242424242"', b"\xff"])
def test_unreadable_response_is_an_error(gateway, status, kind, content):
    gateway(lambda request: httpx.Response(status, content=content))
    assert type(fails()) is kind


@pytest.mark.parametrize("token", [None, 7, "", "tok_", NUMBER, f"tok_{NUMBER}", "tok_a b", "tok_" + "a" * 101])
def test_invalid_token_is_malformed(gateway, token):
    gateway(lambda request: httpx.Response(201, json={"token": token}))
    assert type(fails()) is MalformedResponse


def test_an_endless_response_is_malformed(gateway):
    gateway(lambda request: httpx.Response(201, content=b" " * (cards.MAX_RESPONSE_BYTES + 1) + b'{"token": "tok_a"}'))
    assert type(fails()) is MalformedResponse


def test_a_trickling_response_is_given_up(gateway, monkeypatch):
    class Trickle(httpx.SyncByteStream):
        def __iter__(self):
            while True:
                clock.append(clock[-1] + 2)
                yield b" "

    clock = [0.0]
    monkeypatch.setattr(cards.time, "monotonic", lambda: clock[-1])
    gateway(lambda request: httpx.Response(201, stream=Trickle()))
    assert type(fails()) is Unreachable
    assert len(clock) == 4


def test_a_broken_compression_is_malformed(gateway):
    headers = {"Content-Encoding": "gzip"}
    stream = httpx.ByteStream(b"not gzip")
    gateway(lambda request: httpx.Response(201, headers=headers, stream=stream))
    assert type(fails()) is MalformedResponse


@pytest.mark.parametrize("lost", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError])
def test_lost_response_is_unreachable(gateway, lost):
    def handler(request):
        raise lost(f"gone: {request.content!r}", request=request)

    gateway(handler)
    error = fails()
    assert type(error) is Unreachable
    assert error.retryable


@pytest.mark.parametrize("url", ["", "gateway", "ftp://gateway", "http://", "http://127.0.0.1:9", "http://a b"])
def test_invalid_or_silent_url_is_unreachable(url):
    assert type(fails(url=url)) is Unreachable


def test_card_number_with_a_surrogate_is_sent(gateway):
    gateway(lambda request: httpx.Response(422, json={"field": "card_number", "detail": "Not a number."}))
    assert type(fails(Card("4242\udcff", "12/40", "987"))) is CardRefused


def test_card_data_are_not_logged(gateway, caplog):
    caplog.set_level(logging.DEBUG, logger="httpx")
    gateway(lambda request: httpx.Response(201, json=TOKEN))
    tokenise("http://gateway", CARD, 5)
    assert "/tokens" in caplog.text
    assert NUMBER not in caplog.text
