"""Idempotency-Key: a POST that is sent again is answered again, and carried out once.

1. Whoever comes with a key takes a lock of that key, which ends with the transaction: a second one is told to wait.
2. An answer that is kept is given again, byte for byte; with another body the key is refused.
3. An answer that its view does not stand by any more, such as tokens of a session that has ended, is as if it were not
   there.
4. Otherwise the request is carried out and its answer kept, in one transaction: a process that is killed leaves both or
   neither. A request that is refused leaves nothing, and may be mended and sent again under its key.
"""

import hmac
import re
from collections.abc import Callable
from pathlib import Path

import orjson
from django.conf import settings
from django.db import transaction
from django.http import HttpResponse, HttpResponseBase
from psycopg.types.numeric import Int8
from rest_framework.exceptions import ParseError
from rest_framework.request import Request

from lockstep.api import problems
from lockstep.api.errors import Conflict
from lockstep.api.models import KEPT
from lockstep.api.requests import actor_of, address_of
from lockstep.api.sealing import Unreadable, derived_key, seal, unseal
from lockstep.api.statements import Row, row, rows
from lockstep.changes.attribution import confirm
from lockstep.changes.sql_file import load

META = "HTTP_IDEMPOTENCY_KEY"  # the header, as Django has it
# A string of Structured Fields (RFC 8941, which the header's draft asks for), or the key as it is: both are one key.
KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"', re.ASCII)
PURPOSE = "lockstep idempotency"
SQL = load(Path(__file__).parent / "sql" / "answers.sql")


class InFlight(Conflict):
    """A request with this Idempotency-Key is being carried out."""

    problem = problems.IN_FLIGHT


class KeyReused(Conflict):
    """This Idempotency-Key was used for another request."""

    problem = problems.KEY_REUSED


def once(
    request: Request, carry_out: Callable[[], HttpResponseBase], may_replay: Callable[[bytes], bool]
) -> HttpResponseBase:
    """The answer to this request, which has a key: what `carry_out` gives, or what it gave before.

    `may_replay` says of the body of that whether it may still be given. Raises ParseError, InFlight and KeyReused, and
    whatever `carry_out` does, undoing its effect.
    """
    digest, fingerprint = _digest(request), _fingerprint(request)
    with transaction.atomic():
        if not _locked(digest):
            raise InFlight(retry_after=1)
        if kept := row(SQL["kept"], [digest, KEPT]):
            if request.user.is_authenticated:
                confirm(actor_of(request))
            again = _given_again(kept, fingerprint)
            if may_replay(again.content):
                return again
        response = carry_out()
        if isinstance(response, HttpResponse) and response.status_code < 400:
            _keep(digest, fingerprint, response)
        return response


def _digest(request: Request) -> bytes:
    """Keys belong to a user, or before anybody is signed in to an address."""
    key = _plain(request._request.META[META])
    if not KEY.fullmatch(key):
        raise ParseError("An Idempotency-Key is 1 to 255 visible ASCII characters; a UUID is a good one.")
    owner = f"user:{request.user.pk}" if request.user.is_authenticated else f"address:{address_of(request)}"
    return _hmac(owner.encode(), key.encode())


def _plain(given: str) -> str:
    """The key without the quotes and backslashes of a string of Structured Fields."""
    quoted = QUOTED.fullmatch(given)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given


def _fingerprint(request: Request) -> bytes:
    """What the request asks for, and the credentials of an OAuth client. Keyed, because a body may hold a password."""
    client = "" if request.user.is_authenticated else request._request.META.get("HTTP_AUTHORIZATION", "")
    target = request.get_full_path(force_append_slash=True)  # both forms of a path are one route
    return _hmac((request.method or "").encode(), target.encode(), request._request.body, client.encode())


def _hmac(*parts: bytes) -> bytes:
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(derived_key(PURPOSE, settings.SECRET_KEY), framed, "sha256")


def _locked(digest: bytes) -> bool:
    [found] = rows(SQL["lock"], [Int8(int.from_bytes(digest[:8], "big", signed=True))])
    return bool(found["locked"])


def _given_again(kept: Row, fingerprint: bytes) -> HttpResponse:
    if not hmac.compare_digest(bytes(kept["fingerprint"]), fingerprint):
        raise KeyReused
    try:
        body = unseal(PURPOSE, kept["body"])
    except Unreadable as error:
        raise Conflict("It was carried out, and its answer can no longer be read. Look at what there is.") from error
    headers = {**orjson.loads(kept["headers"]), "Idempotent-Replayed": "true"}
    return HttpResponse(body, status=kept["status"], headers=headers)


def _keep(digest: bytes, fingerprint: bytes, response: HttpResponse) -> None:
    headers = orjson.dumps(dict(response.items())).decode()
    row(SQL["keep"], [digest, fingerprint, response.status_code, headers, seal(PURPOSE, response.content)])
