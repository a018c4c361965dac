import asyncio
from functools import partial

import httpx
import orjson
import pytest

from backend.providers.jsonplaceholder import JsonPlaceholder, remote_id
from backend.providers.tests import support
from lockstep.http.client import MAX_RESPONSE_BYTES
from lockstep.http.errors import (
    MalformedResponse,
    NotFound,
    Refused,
    ServerError,
    Throttled,
    Unreachable,
)
from lockstep.version import VERSION

QUICK = 0.1
talk = partial(support.talk, JsonPlaceholder)
fails = partial(support.fails, JsonPlaceholder)
READS = [lambda client: client.get("posts", "1"), lambda client: client.find("posts", {"id": 1})]
WRITES = [
    lambda client: client.create("posts", {"title": "t"}),
    lambda client: client.update("posts", "1", {"title": "t"}),
    lambda client: client.delete("posts", "1"),
]


def answering(status=200, document=None, **options):
    content = b"" if document is None else orjson.dumps(document)
    return lambda request: httpx.Response(status, content=content, **options)


def all_of(collection="posts"):
    async def collect(client):
        async with client.stream(collection) as batches:
            return [row async for batch in batches for row in batch]

    return collect


class Body(httpx.AsyncByteStream):
    """A body that hangs or breaks after some pieces."""

    def __init__(self, *pieces, then=None):
        self.pieces, self.then, self.closed = pieces, then, False

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece
        if self.then is None:
            await asyncio.Event().wait()
        raise self.then

    async def aclose(self):
        self.closed = True


async def hanging(request):
    await asyncio.Event().wait()


@pytest.mark.parametrize(("value", "text"), [(7, "7"), ("7", "7"), (0, "0"), (2**53 - 1, str(2**53 - 1))])
def test_remote_ids_are_texts(value, text):
    assert remote_id(value) == text


@pytest.mark.parametrize(
    "value", [None, True, False, -1, 1.0, "", "abc", "-1", "1.0", "٣", " 1", "007", 2**53, "9" * 18, [1], {}]
)
def test_invalid_remote_ids_are_malformed(value):
    with pytest.raises(MalformedResponse):
        remote_id(value)


def test_create_sends_json_with_the_idempotency_key():
    seen = []

    def handler(request):
        seen.append(request)
        return httpx.Response(201, json={"id": "12", "title": "é"})

    body = {"id": 5, "title": "é"}
    made = talk(handler, lambda client: client.create("posts", body, idempotency_key="key-1"))
    assert made == "12"
    request = seen[0]
    assert (request.method, request.url.path) == ("POST", "/posts")
    assert orjson.loads(request.content) == {"title": "é"}
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"] == f"lockstep/{VERSION}"


def test_create_without_a_key_sends_no_idempotency_header():
    seen = []
    talk(lambda request: seen.append(request) or httpx.Response(201, json={"id": 1, "title": "t"}), WRITES[0])
    assert "Idempotency-Key" not in seen[0].headers


def test_path_segments_are_encoded():
    seen = []
    talk(
        lambda request: seen.append(request.url.raw_path) or httpx.Response(404),
        lambda c: c.get("a b", "x/y?z#é"),
    )
    assert seen == [b"/a%20b/x%2Fy%3Fz%23%C3%A9"]


def test_path_of_the_provider_url_is_kept():
    async def run():
        seen = []
        transport = httpx.MockTransport(lambda request: seen.append(str(request.url)) or httpx.Response(404))
        async with JsonPlaceholder("http://provider/api/v2/", transport=transport) as client:
            await client.get("posts", "1")
        return seen

    assert asyncio.run(run()) == ["http://provider/api/v2/posts/1"]


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_empty_and_dotted_path_segments_are_refused(name):
    with pytest.raises(ValueError, match="not a path"):
        talk(answering(), lambda client: client.delete("posts", name))


@pytest.mark.parametrize("url", ["", "provider", "ftp://provider", "http://"])
def test_invalid_provider_url_is_refused(url):
    with pytest.raises(ValueError, match="not an http URL"):
        JsonPlaceholder(url)


@pytest.mark.parametrize("work", [*READS[1:], *WRITES, all_of()])
@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 405, 422])
def test_refusals_are_permanent_and_redirects_not_followed(work, status):
    handler = answering(status, headers={"Location": "http://elsewhere/"})
    error = fails(handler, work)
    assert type(error) is Refused
    assert (error.retryable, error.outcome_unknown) == (False, False)


@pytest.mark.parametrize("status", [429, 503])
def test_throttled_has_the_retry_after(status):
    error = fails(answering(status, headers={"Retry-After": "3"}), WRITES[0])
    assert type(error) is Throttled
    assert (error.retryable, error.retry_after, error.outcome_unknown) == (True, 3.0, status == 503)


def test_the_refusal_shows_some_of_its_text():
    error = fails(lambda request: httpx.Response(400, text="no " * 1000), WRITES[0])
    assert "400 no no" in str(error)
    assert len(str(error)) < 400


def test_a_refusal_with_a_broken_body_is_still_a_refusal():
    body = Body(b"x", then=httpx.ReadError("cut"))
    assert type(fails(lambda request: httpx.Response(503, stream=body), READS[0])) is Throttled


@pytest.mark.parametrize("work", [*READS, *WRITES, all_of()])
def test_without_a_connection_the_write_was_not_applied(work):
    def handler(request):
        raise httpx.ConnectError("refused")

    error = fails(handler, work)
    assert type(error) is Unreachable
    assert (error.retryable, error.outcome_unknown) == (True, False)


@pytest.mark.parametrize("lost", [httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError])
@pytest.mark.parametrize("work", [*READS, *WRITES])
def test_a_lost_response_has_an_unknown_outcome(work, lost):
    def handler(request):
        raise lost("gone")

    error = fails(handler, work)
    assert type(error) is Unreachable
    assert error.outcome_unknown is (work in WRITES)


@pytest.mark.parametrize("work", [*READS, *WRITES, all_of()])
def test_silence_ends_at_the_deadline(work):
    error = fails(hanging, work, deadline=QUICK)
    assert type(error) is Unreachable
    assert "0.1 s" in str(error)
    assert error.outcome_unknown is (work in WRITES)


@pytest.mark.parametrize("work", [*READS, *WRITES])
def test_a_body_that_never_ends_ends_at_the_deadline(work):
    body = Body(b'{"id"')
    error = fails(lambda request: httpx.Response(200, stream=body), work, deadline=QUICK)
    assert type(error) is Unreachable
    assert error.outcome_unknown is (work in WRITES)
    assert body.closed


@pytest.mark.parametrize("work", [*READS, *WRITES, all_of()])
def test_a_cut_body_is_malformed(work):
    body = Body(b'{"id"', then=httpx.RemoteProtocolError("peer closed connection"))
    error = fails(lambda request: httpx.Response(200, stream=body), work)
    assert type(error) is MalformedResponse
    assert (error.retryable, error.outcome_unknown) == (True, work in WRITES)


def test_waiting_for_a_slot_counts_and_sends_nothing():
    async def work(client):
        async with client._places:  # the only one, which is not returned in time
            with pytest.raises(Unreachable) as caught:
                await client.create("posts", {})
        return caught.value

    assert talk(hanging, work, concurrency=1, deadline=QUICK).outcome_unknown is False


def test_concurrency_is_limited():
    busy, most = 0, 0

    async def handler(request):
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.001)
        busy -= 1
        return httpx.Response(404)

    talk(handler, lambda client: asyncio.gather(*[client.get("posts", "1") for _ in range(20)]), concurrency=3)
    assert most == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b'"text"', b"<html>", b'{"id": 1}}', b"\xff"])
def test_a_body_that_is_no_object_is_malformed(content):
    error = fails(lambda request: httpx.Response(200, content=content), READS[0])
    assert type(error) is MalformedResponse
    assert error.outcome_unknown is False


@pytest.mark.parametrize("document", [{"error": "busy"}, {"title": "a"}, {"id": None, "title": "a"}, {"id": 2}])
def test_object_other_than_requested_is_malformed(document):
    assert type(fails(answering(200, document), READS[0])) is MalformedResponse


@pytest.mark.parametrize("document", [{}, {"id": None}, {"id": "x"}, {"id": True}, {"id": 1.5}, [], "101"])
def test_creation_without_an_id_in_the_response_has_an_unknown_outcome(document):
    error = fails(answering(201, document), WRITES[0])
    assert type(error) is MalformedResponse
    assert (error.retryable, error.outcome_unknown) == (True, True)


def test_an_oversized_response_is_malformed():
    handler = answering(200, {"id": 1, "body": "x" * MAX_RESPONSE_BYTES})
    assert type(fails(handler, READS[0])) is MalformedResponse
    assert fails(handler, WRITES[0]).outcome_unknown is True


def test_a_broken_compression_is_malformed():
    headers = {"Content-Encoding": "gzip"}
    handler = lambda request: httpx.Response(200, headers=headers, stream=Body(b"not gzip"))  # noqa: E731
    assert type(fails(handler, READS[0])) is MalformedResponse


def test_get_of_a_missing_object_is_none():
    assert talk(answering(404, {}), READS[0]) is None
    assert type(fails(answering(404, {}), READS[1])) is NotFound


@pytest.mark.parametrize("status", [200, 204, 404, 410])
def test_delete_of_a_missing_object_succeeds(status):
    assert talk(answering(status), WRITES[2]) is None


@pytest.mark.parametrize(
    ("put", "get", "kind"),
    [(404, 200, NotFound), (500, 404, NotFound), (500, 200, ServerError), (502, 404, ServerError)],
)
def test_a_failed_put_is_read_back(put, get, kind):
    handler = lambda request: httpx.Response(put if request.method == "PUT" else get, json={"id": 1})  # noqa: E731
    error = fails(handler, WRITES[1])
    assert type(error) is kind
    assert error.outcome_unknown is (kind is ServerError)


def test_a_failed_put_that_cannot_be_read_back_has_an_unknown_outcome():
    def handler(request):
        if request.method == "PUT":
            return httpx.Response(500)
        raise httpx.ConnectError("refused")

    error = fails(handler, WRITES[1])
    assert (error.retryable, error.outcome_unknown) == (True, True)


def test_a_failed_put_without_a_connection_to_read_it_has_an_unknown_outcome():
    async def handler(request):
        if request.method == "PUT":
            return httpx.Response(500)
        await request.extensions["trace"]("connection.connect_tcp.started", {})
        return await hanging(request)

    assert fails(handler, WRITES[1], deadline=QUICK).outcome_unknown is True


def test_find_filters_the_response():
    rows = [{"id": 1, "title": 5}, {"id": "2", "title": "5"}, {"id": 3, "title": "6"}, {"id": 4}, 7, None]
    seen = []

    def handler(request):
        seen.append(dict(request.url.params))
        return httpx.Response(200, json=rows)

    assert talk(handler, lambda client: client.find("posts", {"title": "5"})) == rows[:2]
    assert talk(handler, lambda client: client.find("posts", {"id": 2})) == rows[1:2]
    assert seen == [{"title": "5"}, {"id": "2"}]


def test_find_queries_only_by_expressible_fields():
    seen = []

    def handler(request):
        seen.append(dict(request.url.params))
        return httpx.Response(200, json=[])

    fields = {"title": "a&b=\n", "body": "x" * 10_000, "_page": "2", "q": "text"}
    assert talk(handler, lambda client: client.find("posts", fields)) == []
    assert seen == [{"title": "a&b=\n"}]


def test_stream_yields_batches_of_anything():
    rows = [{"id": number, "body": "x" * 100} for number in range(10_000)] + [7, None]
    assert talk(answering(200, rows), all_of()) == rows
    assert talk(answering(200, []), all_of()) == []


def test_stream_that_stalls_has_yielded_its_complete_elements():
    rows = orjson.dumps([{"id": number, "body": "x" * 100} for number in range(10_000)])

    async def work(client):
        got = []
        with pytest.raises(Unreachable):
            async with client.stream("posts") as batches:
                async for batch in batches:
                    got += batch
        return got

    body = Body(rows[:900_000])
    assert len(talk(lambda request: httpx.Response(200, stream=body), work, deadline=QUICK)) > 1000
    assert body.closed


def test_a_stream_left_early_releases_its_slot():
    rows = orjson.dumps([{"id": number, "body": "x" * 100} for number in range(10_000)])

    async def work(client):
        async with client.stream("posts") as batches:
            async for _ in batches:
                break
        return await client.get("posts", "1")

    def handler(request):
        return httpx.Response(200, content=rows) if request.url.path == "/posts" else httpx.Response(404)

    assert talk(handler, work, concurrency=1) is None
