"""Idempotency-Key: a POST that is sent again gets the same response, and is carried out once.

1. A request with a key takes a lock of that key until its transaction ends. A concurrent one is told to retry.
2. A stored response is sent again, byte for byte. The same key with another body is an error.
3. A stored response that its view rejects, such as tokens of a session that has ended, is ignored.
4. Otherwise the request is carried out and its response stored, in one transaction: a process that is killed leaves
   both or neither. A failed request stores nothing: correct it, and send it again under the same key.

While SECRET_KEY is being replaced, a request has one digest under each value. It is locked and looked up under all.
"""

import hmac
import re
from collections.abc import Callable
from operator import itemgetter

import orjson
from django.conf import settings
from django.db import transaction
from django.http import HttpResponse, HttpResponseBase
from psycopg.types.numeric import Int8
from rest_framework.exceptions import ParseError
from rest_framework.request import Request

from lockstep.changes.attribution import confirm
from lockstep.rest import problems
from lockstep.rest.actors import actor_of
from lockstep.rest.encryption import DecryptionFailed, decrypt, derived_key, encrypt
from lockstep.rest.errors import Conflict
from lockstep.rest.fastpath import Row, fetch_all, fetch_one
from lockstep.rest.models import IDEMPOTENCY_TTL
from lockstep.rest.requests import address_of
from lockstep.sql import statements

__all__ = ["InFlight", "once"]

META = "HTTP_IDEMPOTENCY_KEY"  # the header, in request.META
# A string of Structured Fields (RFC 8941, which the header's draft asks for), or the key as it is: both are one key.
KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"', re.ASCII)
PURPOSE = "lockstep idempotency"
SQL = statements(__file__, "idempotency")


class InFlight(Conflict):
    """A request with this Idempotency-Key is being carried out."""

    problem = problems.IN_FLIGHT


class KeyReused(Conflict):
    """This Idempotency-Key was used for another request."""

    problem = problems.KEY_REUSED


def once(
    request: Request, carry_out: Callable[[], HttpResponseBase], may_replay: Callable[[bytes], bool] = lambda _: True
) -> HttpResponseBase:
    """The response to this request: the one that is stored under its key, or the result of `carry_out`.

    `may_replay` takes the body of a stored response, and returns whether it may be sent again. Raises ParseError,
    InFlight and KeyReused, and all exceptions of `carry_out`, whose effect is rolled back.
    """
    if META not in request._request.META:
        return carry_out()
    digests = dict(zip(_digests(request), _fingerprints(request), strict=True))
    with transaction.atomic():
        # Sorted: two requests with the same key must not take one lock each.
        if not all(_locked(digest) for digest in sorted(digests)):
            raise InFlight(retry_after=1)
        records = [row for digest in digests if (row := fetch_one(SQL["find"], [digest, IDEMPOTENCY_TTL]))]
        if records:
            stored = max(records, key=itemgetter("created"))
            if request.user.is_authenticated:
                confirm(actor_of(request))
            replayed = _replayed(stored, digests[bytes(stored["digest"])])
            if may_replay(replayed.content):
                return replayed
        response = carry_out()
        if isinstance(response, HttpResponse) and response.status_code < 400:
            _store(*next(iter(digests.items())), response)
        return response


def _digests(request: Request) -> list[bytes]:
    """Keys belong to a user, or to an address if the request is anonymous."""
    key = _plain(request._request.META[META])
    if not KEY.fullmatch(key):
        raise ParseError("An Idempotency-Key is 1 to 255 visible ASCII characters; a UUID is a good one.")
    owner = f"user:{request.user.pk}" if request.user.is_authenticated else f"address:{address_of(request)}"
    return _hmacs(owner.encode(), key.encode())


def _plain(text: str) -> str:
    """The key without the quotes and backslashes of a string of Structured Fields."""
    quoted = QUOTED.fullmatch(text)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text


def _fingerprints(request: Request) -> list[bytes]:
    """Method, path, body, and the credentials of an OAuth client. Keyed digests, because a body may hold a password."""
    client = "" if request.user.is_authenticated else request._request.META.get("HTTP_AUTHORIZATION", "")
    target = request.get_full_path(force_append_slash=True)  # both forms of a path are one route
    return _hmacs((request.method or "").encode(), target.encode(), request._request.body, client.encode())


def _hmacs(*parts: bytes) -> list[bytes]:
    """Under SECRET_KEY, which new records use, and under each of its fallbacks, which older records may have used."""
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [hmac.digest(derived_key(PURPOSE, key), framed, "sha256") for key in keys]


def _locked(digest: bytes) -> bool:
    [found] = fetch_all(SQL["lock"], [Int8(int.from_bytes(digest[:8], "big", signed=True))])
    return bool(found["locked"])


def _replayed(stored: Row, fingerprint: bytes) -> HttpResponse:
    if not hmac.compare_digest(bytes(stored["fingerprint"]), fingerprint):
        raise KeyReused
    try:
        body = decrypt(PURPOSE, stored["body"])
    except DecryptionFailed as error:
        raise Conflict(
            "The original request succeeded, but its stored response cannot be decrypted. Fetch the resource instead."
        ) from error
    headers = {**orjson.loads(stored["headers"]), "Idempotent-Replayed": "true"}
    return HttpResponse(body, status=stored["status"], headers=headers)


def _store(digest: bytes, fingerprint: bytes, response: HttpResponse) -> None:
    headers = orjson.dumps(dict(response.items())).decode()
    fetch_one(SQL["store"], [digest, fingerprint, response.status_code, headers, encrypt(PURPOSE, response.content)])
