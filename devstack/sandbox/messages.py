"""What passes between the network side of a stand-in and its routes: one request in, one answer out."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"

Document = dict[str, object]


@dataclass(frozen=True)
class Request:
    """A request as it came; `url` is the whole of it, `message_id` that of a webhook."""

    method: str
    path: str
    query: str = ""
    url: str = ""
    content_type: str = ""
    idempotency_key: str = ""
    message_id: str = ""
    body: bytes = field(default=b"", repr=False)
    ignored: bool = False
    """Answer as if it had been done, and do nothing."""


@dataclass
class Answer:
    """An answer whose body is text, one document, or the texts of a list's elements in pages."""

    status: int
    document: Document = field(default_factory=dict)
    pages: Iterator[list[bytes]] | None = None
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        """What the body is."""
        return JSON if self.text is None else HTML

    def chunks(self) -> Iterator[bytes]:
        """The body, a piece for each page."""
        if self.text is not None:
            yield self.text.encode()
        elif self.pages is not None:
            yield from _array(self.pages)
        else:
            yield orjson.dumps(self.document, option=orjson.OPT_INDENT_2)

    def without(self, hidden: str | None) -> "Answer":
        """The same answer of a server that does not see everything, or the second half of each list."""
        if hidden is None:
            return self
        if self.pages is None:
            return Answer(404) if hidden == "everything" and self.status == 200 else self
        rows = [row for page in self.pages for row in page]
        return Answer(
            self.status, pages=iter([rows[: len(rows) // 2] if hidden == "page" else []]), headers=self.headers
        )

    def with_ids_as_strings(self) -> "Answer":
        """The same answer, its ids and references as strings."""
        pages = self.pages and ([_element_with_strings(text) for text in page] for page in self.pages)
        return Answer(self.status, _with_strings(self.document), pages, self.text, self.headers)


def _array(pages: Iterator[list[bytes]]) -> Iterator[bytes]:
    """The text of a list, as theirs indents it."""
    opening = b"[\n"
    for page in pages:
        if page:
            yield opening + b",\n".join(page)
            opening = b",\n"
    yield b"[]" if opening == b"[\n" else b"\n]"


def _with_strings(document: Document) -> Document:
    return {
        name: str(value) if (name == "id" or name.endswith("Id")) and value is not None else value
        for name, value in document.items()
    }


def _element_with_strings(text: bytes) -> bytes:
    document = _with_strings(orjson.loads(text))
    return b"  " + orjson.dumps(document, option=orjson.OPT_INDENT_2).replace(b"\n", b"\n  ")
