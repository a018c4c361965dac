"""The span of a request, and what a change keeps of it; whatever a client's `traceparent` says."""

from collections.abc import Iterator
from itertools import count

import pytest
from django.conf import settings
from django.http import StreamingHttpResponse
from django.test import RequestFactory
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.shop.models import Product
from lockstep.changes.models import LoggedChange
from lockstep.rest.middleware import request_id
from lockstep.rest.server.refusals import Refusal, response_to
from tests.support import Cast, Person
from tests.traces import TRACEPARENT, Recorded, parts, recording

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"
PATH = "/fakeapi/v1/posts/create/"


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    with recording(monkeypatch) as recorded:
        yield recorded


def create(person: Person, traceparent: str | None = None, **headers: str) -> LoggedChange:
    """The change of a post that is created by a request with this header."""
    sent = headers | ({} if traceparent is None else {"traceparent": traceparent})
    response = person.client.post(PATH, {"title": "t", "body": "b"}, content_type="application/json", headers=sent)
    assert response.status_code == 201, response.content
    return LoggedChange.objects.filter(model="posts.post").latest("seq")


def test_a_change_carries_the_span_of_its_request_which_joins_the_clients_trace(cast: Cast, traces: Recorded):
    change = create(cast.owner, VALID, **{"X-Request-ID": "checkout-1"})
    [span] = traces.spans
    assert parts(change.traceparent) == (TRACE, span.span_id)
    assert change.trace == "checkout-1"
    assert (span.kind, span.name, span.parent) == ("server", "POST /fakeapi/v1/posts/create/", SPAN)
    assert span.facts == {
        "http.request.method": "POST",
        "url.path": PATH,
        "url.scheme": "http",
        "http.route": "/fakeapi/v1/posts/create/",
        "http.response.status_code": 201,
        "lockstep.request_id": "checkout-1",
    }
    assert not span.failed


def test_a_request_without_a_traceparent_begins_a_trace(cast: Cast, traces: Recorded):
    change = create(cast.owner)
    [span] = traces.spans
    assert parts(change.traceparent) == (span.trace_id, span.span_id)
    assert span.parent == ""


def test_an_order_as_a_single_statement_has_the_traceparent(cast: Cast, traces: Recorded):
    product = Product.objects.create(name="tea", price="1.00", stock=5, owner=cast.owner.user, state="ON_SALE")
    response = cast.colleague.post("/api/v1/orders/", {"lines": [{"product": str(product.pk), "quantity": 1}]})
    assert response.status_code == 201, response.content
    change = LoggedChange.objects.filter(model="shop.order").latest("seq")
    assert parts(change.traceparent)[1] == traces.spans[-1].span_id


def test_unsampled_traces_are_not_sent_and_marked_unsampled(cast: Cast, traces: Recorded):
    change = create(cast.owner, f"00-{TRACE}-{SPAN}-00")
    assert traces.spans == []
    assert change.traceparent.startswith(f"00-{TRACE}-")
    assert change.traceparent.endswith("-00")


def test_a_client_that_is_not_trusted_is_linked_and_decides_nothing(
    cast: Cast, traces: Recorded, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(settings.LOCKSTEP, "REST_TRACEPARENT_TRUSTED", False)
    change = create(cast.owner, f"00-{TRACE}-{SPAN}-00")
    [span] = traces.spans
    assert parts(change.traceparent) == (span.trace_id, span.span_id)
    assert span.trace_id != TRACE
    assert span.parent == ""
    assert span.links == [(TRACE, SPAN)]


def test_a_5xx_is_an_error_of_the_span_and_a_4xx_is_not(cast: Cast, traces: Recorded, monkeypatch: pytest.MonkeyPatch):
    assert cast.owner.get("/nothing/here/").status_code == 404
    monkeypatch.setattr("backend.posts.actions.create_post", None)
    cast.owner.post(PATH, {"title": "t", "body": "b"})
    missing, failed = traces.spans
    assert (missing.name, missing.facts["http.response.status_code"], missing.failed) == ("GET", 404, False)
    assert (failed.facts["http.response.status_code"], failed.facts["error.type"], failed.failed) == (500, "500", True)


def test_the_span_of_a_stream_ends_when_the_stream_begins(traces: Recorded):
    made = []
    events = (made.append(n) or b"data: 1" for n in count())
    stream = StreamingHttpResponse(events, content_type="text/event-stream")
    request_id(lambda request: stream)(RequestFactory().get("/api/v1/changes/"))
    assert [span.facts["http.response.status_code"] for span in traces.spans] == [200]
    assert made == []


def test_a_request_that_finds_no_place_is_a_span_as_well(traces: Recorded):
    environ = RequestFactory().post("/api/v1/orders/", headers={"traceparent": VALID}).environ
    response_to(environ, Refusal(503, "Too many requests are waiting."))
    [span] = traces.spans
    assert (span.name, span.parent, span.facts["http.response.status_code"]) == ("POST", SPAN, 503)
    assert span.failed


def test_probes_have_no_spans(cast: Cast, traces: Recorded):
    for path in ("/healthz", "/readyz", "/metrics"):
        cast.owner.get(path)
    assert traces.spans == []


def test_a_span_has_the_path_up_to_its_limit(cast: Cast, traces: Recorded):
    cast.owner.get("/%ff%00" + "x" * 5_000 + "?token=secret")
    [span] = traces.spans
    assert span.facts["url.path"].startswith("/%FF\0x")
    assert len(span.facts["url.path"]) == 2_048
    assert "secret" not in str(span)


nearly = st.builds(
    lambda text, place, piece: text[:place] + piece + text[place + len(piece) :],
    st.sampled_from([VALID, f"01-{TRACE}-{SPAN}-ff", f"cc-{TRACE}-{SPAN}-01-more", VALID.upper(), f" {VALID} "]),
    st.integers(0, 60),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=5),
)
anything = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=700)
of_zeros = st.sampled_from([f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{SPAN}-01", ""])


@hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(header=nearly | anything | of_zeros, state=anything)
def test_no_header_fails_a_request_or_reaches_the_log(cast: Cast, traces: Recorded, header: str, state: str):
    traces.exporter.clear()
    change = create(cast.owner, header, tracestate=state)
    trace_id, span_id = parts(change.traceparent)
    joined = [span for span in traces.spans if span.span_id == span_id]
    if trace_id not in header:  # it was not valid: the trace is a new one
        assert [span.parent for span in joined] == [""]
    else:
        assert [span.trace_id for span in joined] in ([], [trace_id])  # not sampled, or a child of what was named
    assert TRACEPARENT.fullmatch(change.traceparent)


def test_where_there_are_no_traces_no_header_reaches_the_log(cast: Cast):
    assert create(cast.owner, VALID).traceparent is None
