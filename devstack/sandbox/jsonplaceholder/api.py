"""What the stand-in answers, without the network: one request in, one answer out."""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, quote, unquote

import orjson

from devstack.sandbox.faults import Fault
from devstack.sandbox.jsonplaceholder.query import NotImitated, listing
from devstack.sandbox.jsonplaceholder.server_variants import Variant, as_number
from devstack.sandbox.jsonplaceholder.store import COLLECTIONS, Store
from devstack.sandbox.messages import Answer, Document, Request

MAX_BODY_BYTES = 10 * 1024 * 1024


class Malformed(ValueError):
    """The body is not JSON."""


class Api:
    """The routes of one server."""

    name = "JSONPlaceholder"
    headers: Mapping[str, str] = {
        "Access-Control-Allow-Credentials": "true",
        "Cache-Control": "no-cache",
        "Pragma": "no-cache",
        "Expires": "-1",
        "X-Content-Type-Options": "nosniff",
    }

    def __init__(self, store: Store, variant: Variant) -> None:
        self._store = store
        self._variant = variant

    def answer(self, request: Request) -> Answer:
        """What this server answers to this request, having done what it asks for."""
        if len(request.body) > MAX_BODY_BYTES:
            return Answer(self._variant.too_large, text="PayloadTooLargeError: request entity too large")
        try:
            return self._route(request)
        except NotImitated as error:
            return Answer(400, {"error": str(error)})
        except Malformed as error:
            return Answer(self._variant.malformed, text=f"SyntaxError: {error}")

    def fault(self, request: Request) -> Fault:
        """None of its own."""
        return Fault()

    def _route(self, request: Request) -> Answer:
        match [unquote(segment) for segment in request.path.strip("/").split("/")]:
            case [""]:
                return Answer(200, text="A stand-in of JSONPlaceholder: /posts and /comments")
            case [collection] if collection in COLLECTIONS:
                return self._collection(request, collection)
            case [collection, name] if collection in COLLECTIONS:
                return self._object(request, collection, as_number(name) if self._variant.reads_numbers else name)
            case [parent, name, collection] if collection in COLLECTIONS:
                return self._nested(request, f"{parent.removesuffix('s')}Id", name, collection)
        return Answer(404)

    def _collection(self, request: Request, collection: str) -> Answer:
        if request.method in ("GET", "HEAD"):
            return self._list(request, collection, request.query)
        if request.method == "POST":
            return self._create(request, collection, _body(request))
        return Answer(404)

    def _nested(self, request: Request, reference: str, name: str, collection: str) -> Answer:
        if request.method in ("GET", "HEAD"):
            query = f"{request.query}&{reference}={quote(name)}".lstrip("&")
            return self._list(request, collection, query)
        if request.method == "POST":
            return self._create(request, collection, {**_body(request), reference: name})
        return Answer(404)

    def _object(self, request: Request, collection: str, name: object) -> Answer:
        actions: dict[str, Callable[[Request, str, object], Answer]] = {
            "GET": self._show,
            "HEAD": self._show,
            "PUT": self._replace,
            "PATCH": self._change,
            "DELETE": self._delete,
        }
        action = actions.get(request.method)
        return action(request, collection, name) if action else Answer(404)

    def _list(self, request: Request, collection: str, query: str) -> Answer:
        found = listing(self._store, self._variant, collection, query, request.url)
        return Answer(200, pages=found.pages, headers=found.headers)

    def _show(self, _request: Request, collection: str, name: object) -> Answer:
        document = self._store.get(collection, name)
        return Answer(404) if document is None else Answer(200, document)

    def _create(self, request: Request, collection: str, body: Document) -> Answer:
        document = self._read(body)
        with self._store.change(keep=self._remembers(request)):
            if not document.get("id") or self._variant.taken_id == "renumbers":
                document["id"] = self._store.next_id(collection)
            if self._store.get(collection, document["id"]) is None:
                self._store.add(collection, document)
            elif self._variant.taken_id == "fails":
                return Answer(500, text="Error: Insert failed, duplicate id")
        headers = {
            "Access-Control-Expose-Headers": "Location",
            "Location": f"{request.url}/{document['id']}",
        }
        return Answer(201, document, headers=headers if self._variant.tells_location else {})

    def _replace(self, request: Request, collection: str, name: object) -> Answer:
        body = self._read(_body(request))
        with self._store.change(keep=self._remembers(request)):
            there = self._store.get(collection, name)
            if there is not None:
                return self._keep(collection, {**body, "id": there["id"]})
        if self._variant.missing_put == 500:
            return Answer(500, text="TypeError: Cannot read properties of undefined (reading 'id')")
        return Answer(self._variant.missing_put)

    def _change(self, request: Request, collection: str, name: object) -> Answer:
        body = self._read(_body(request))
        with self._store.change(keep=self._remembers(request)):
            there = self._store.get(collection, name)
            if there is not None:
                return self._keep(collection, {**there, **body, "id": there["id"]})
        status = self._variant.missing_patch
        return Answer(status, body if status == 200 else {})

    def _remembers(self, request: Request) -> bool:
        return self._variant.remembers and not request.ignored

    def _keep(self, collection: str, document: Document) -> Answer:
        self._store.put(collection, document)
        return Answer(200, document)

    def _delete(self, request: Request, collection: str, name: object) -> Answer:
        with self._store.change(keep=self._remembers(request)):
            there = self._store.get(collection, name)
            if self._remembers(request):
                self._store.remove(collection, name)
        return Answer(self._variant.missing_delete if there is None else 200)

    def _read(self, body: Document) -> Document:
        if not self._variant.reads_numbers:
            return dict(body)
        return {name: as_number(value) for name, value in body.items()}


def _body(request: Request) -> Document:
    """The body as an object. A list becomes one, as it does for theirs; other types read as empty."""
    if request.content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    if not request.content_type.startswith("application/json") or not request.body.strip():
        return {}
    try:
        document = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Malformed(str(error)) from error
    if isinstance(document, list):
        return {str(place): item for place, item in enumerate(document)}
    if not isinstance(document, dict):
        raise Malformed(f"{document!r:.50} is neither an object nor a list")
    return document
