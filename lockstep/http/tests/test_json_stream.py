import asyncio
import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.http import json_stream
from lockstep.http.errors import MalformedResponse
from lockstep.http.json_stream import MAX_ELEMENT_BYTES, PIECE, ArrayReader, batches

texts = st.text(st.one_of(st.sampled_from('{}[]",\\ \n'), st.characters(codec="utf-8")), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts
documents = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
arrays = st.lists(documents, max_size=12)
formats = st.sampled_from(
    [{}, {"indent": 2}, {"indent": 0}, {"separators": (",", ":")}, {"separators": (" , ", " : ")}]
)


def written(array, form):
    return json.dumps(array, ensure_ascii=False, **form).encode("utf-8", "surrogatepass")


async def pieces_of(text, size):
    for start in range(0, len(text), size):
        yield text[start : start + size]


def read(text, size=PIECE):
    """The elements read, and the error that ended the reading, if any."""

    async def collect():
        elements = []
        try:
            async for batch in batches(pieces_of(text, size)):
                elements += batch
        except MalformedResponse as error:
            return elements, error
        return elements, None

    return asyncio.run(collect())


PIECES = [1, 16, PIECE]  # the same must hold wherever the cuts fall, so small pieces stand for large texts
some_piece = st.sampled_from(PIECES)


@pytest.fixture(params=PIECES)
def piece(request, monkeypatch):
    monkeypatch.setattr(json_stream, "PIECE", request.param)
    return request.param


@pytest.fixture
def limits(monkeypatch):
    """The limits at a sixteenth of their size, so that the tests about them stay quick."""
    monkeypatch.setattr(json_stream, "PIECE", PIECE // 16)
    monkeypatch.setattr(json_stream, "MAX_ELEMENT_BYTES", MAX_ELEMENT_BYTES // 16)
    return PIECE // 16, MAX_ELEMENT_BYTES // 16


def read_by(piece, text, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "PIECE", piece)
        return read_now(text, size)


def read_now(text, size):
    reader, elements = ArrayReader(), []
    try:
        for start in range(0, len(text), size):
            for batch in reader.feed(text[start : start + size]):
                elements += batch
        for batch in reader.finish():
            elements += batch
    except MalformedResponse as error:
        return elements, error
    return elements, None


@settings(max_examples=60, deadline=None)
@given(some_piece, arrays, formats, st.integers(1, 50), st.sampled_from(["", " ", "\n\t\r "]))
@pytest.mark.slow
def test_any_chunking_of_any_array_gives_its_elements(piece, array, form, size, blank):
    text = blank.encode() + written(array, form) + blank.encode()
    assert read_by(piece, text, size) == (array, None)


@settings(max_examples=60, deadline=None)
@given(some_piece, arrays, formats, st.integers(1, 50), st.data())
@pytest.mark.slow
def test_any_truncation_raises_after_the_whole_elements(piece, array, form, size, data):
    text = written(array, form)
    kept = text[: data.draw(st.integers(0, len(text) - 1))]
    elements, error = read_by(piece, kept, size)
    assert isinstance(error, MalformedResponse)
    assert elements == array[: len(elements)]


@settings(max_examples=60, deadline=None)
@given(some_piece, arrays, formats, st.integers(1, 50))
@pytest.mark.slow
def test_a_truncated_array_yields_its_complete_elements(piece, array, form, size):
    text = written([*array, {"last": 1}], form)
    elements, error = read_by(piece, text.rstrip()[:-1].rstrip(), size)
    assert elements == [*array, {"last": 1}]
    assert isinstance(error, MalformedResponse)


@settings(deadline=None)
@given(some_piece, st.text('[]{},":1 \\', max_size=24), st.integers(1, 9))
def test_accepts_exactly_the_texts_of_the_parser(piece, text, size):
    elements, error = read_by(piece, text.encode(), size)
    try:
        whole = orjson.loads(text)
    except orjson.JSONDecodeError:
        whole = None
    assert (elements, error) == (whole, None) if isinstance(whole, list) else error


@pytest.mark.parametrize(
    "text",
    ["", "  ", "[", "{}", "<html>", "[{},]", "[,{}]", "[{}{}]", "[{}] x", "[{}]]", "[1 2]", "[{},,{}]"],
)
def test_other_texts_than_one_array_are_malformed(piece, text):
    assert isinstance(read(text.encode(), 3)[1], MalformedResponse)


def test_batches_are_yielded_before_the_end(piece):
    rows = [{"id": n, "body": "x" * 100} for n in range(max(piece // 20, 30))]
    reader = ArrayReader()
    assert sum(len(batch) for batch in reader.feed(orjson.dumps(rows)[:-1])) > len(rows) // 2


@pytest.mark.parametrize("filler", [b'"', b"\\", b"}", b"{", b"},", b'"},{"', b",", b"[", b" "])
def test_an_oversized_element_is_refused_after_linear_work(limits, filler, monkeypatch):
    piece, largest = limits
    looked_at = []
    parse, scan = orjson.loads, json_stream._boundary
    monkeypatch.setattr(json_stream.orjson, "loads", lambda text: looked_at.append(len(text)) or parse(text))
    monkeypatch.setattr(json_stream, "_boundary", lambda text: looked_at.append(len(text)) or scan(text))
    text = b'[{"a":1},{"b":"' + orjson.dumps((filler * largest).decode())[1:-1]
    elements, error = read_now(text[: largest + 8 * piece], piece)
    assert elements == [{"a": 1}]
    assert isinstance(error, MalformedResponse)
    assert sum(looked_at) < 20 * largest


@pytest.mark.slow
@pytest.mark.parametrize("filler", [b'{"a":', b"[", b"1,", b"[],", b"{},"])
def test_endless_structure_ends(limits, filler):
    piece, largest = limits
    _, error = read_now(b"[" + filler * (2 * largest // len(filler)), piece)
    assert isinstance(error, MalformedResponse)


def test_excessive_depth_is_detected_before_the_size_limit():
    with pytest.raises(MalformedResponse, match="deep"):
        list(ArrayReader().feed(b"[" * (2 * PIECE)))


def test_complete_elements_of_any_type_precede_the_error():
    elements, error = read_now(b'[{"a": 1}, 2, [3], "x, y", 4', PIECE)
    assert elements == [{"a": 1}, 2, [3], "x, y"]
    assert isinstance(error, MalformedResponse)


def test_a_large_element_below_the_limit_passes(limits):
    array = [{"n": 1}, {"body": "}{" * (limits[1] // 2 - 100)}, {"n": 2}]
    assert read(orjson.dumps(array), 65536) == (array, None)


@pytest.mark.parametrize("size", [4_099, 65_536, 5_000_000])
@pytest.mark.slow
def test_large_nested_rows(size):
    rows = [{"id": n, "geo": {"lat": {"deg": n}, "tags": ["}", "]", {}]}, "end": '"}'} for n in range(9000)]
    assert read(json.dumps(rows, indent=2).encode(), size) == (rows, None)
