"""Optimistic concurrency: an object's ETag is the version of its row, whoever asks and however it is shown.

A client that read an object with `ETag: "7"` changes it with `If-Match: "7"`: when somebody else was first, it is told
so (412) and nothing is lost. Reading again with `If-None-Match: "7"` costs no body (304).
"""

import re
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import models
from orjson import Fragment
from rest_framework.exceptions import ParseError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from lockstep.api.answers import Answer
from lockstep.api.errors import NotFound, OutOfDate
from lockstep.api.statements import Values

M = TypeVar("M", bound=models.Model)

TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
# Tags with commas between them; empty elements are ignored (RFC 9110, 5.6.1). Nothing is given back: it is linear.
TAGS = re.compile(rf"[ \t,]*+(?:{TAG.pattern}[ \t]*+(?:,[ \t,]*+|\Z))++")


@dataclass(frozen=True, slots=True)
class Shown:
    """An object as it is shown, in JSON, and the version of its row."""

    body: Fragment
    version: int


def found_or_missing(found: Values | None, missing: str) -> Shown:
    """The object of which version and JSON were read. Raises NotFound, which says what is missing."""
    if found is None:
        raise NotFound(missing)
    version, body = found
    return Shown(Fragment(body), version)


@dataclass(frozen=True, slots=True)
class Match:
    """Which versions of an object a request is meant for; None: any."""

    tags: frozenset[str] | None = None

    def check(self, *versions: object) -> None:
        """Raises OutOfDate when the object is another one."""
        if self.tags is not None and etag(*versions) not in self.tags:
            raise OutOfDate


ANY_VERSION = Match()


def etag(*versions: object) -> str:
    """The entity tag of an object of which these are the versions."""
    return '"' + ".".join(str(version) for version in versions) + '"'


def if_match(request: Request) -> Match:
    """What the request's If-Match says. Weak tags match nothing (RFC 9110). Raises ParseError."""
    tags = _tags(request, "If-Match")
    return Match(None if tags is None or "*" in tags else tags)


def answer(request: Request, data: Any, *versions: object, status: int = 200) -> Answer:  # noqa: ANN401 - whatever a view answers
    """An object with its ETag; 304 without a body when the client has just this one.

    Raises OutOfDate when a read is meant for another one (If-Match); a write has compared before it wrote.
    """
    tag = etag(*versions)
    is_read = request.method in SAFE_METHODS
    if is_read:
        if_match(request).check(*versions)
    known = (_tags(request, "If-None-Match") or frozenset()) if is_read else frozenset()
    if "*" in known or tag in {given.removeprefix("W/") for given in known}:
        return Answer(status=304, headers={"ETag": tag})
    return Answer(data, status=status, headers={"ETag": tag})


def lock(rows: models.QuerySet[M], match: Match, missing: str | None = None, **which: object) -> M:
    """The row, locked until the end of the transaction.

    Raises NotFound, with what is said when it is `missing`, and OutOfDate when it is not the one meant.
    """
    row = rows.select_for_update(no_key=True, of=("self",)).filter(**which).first()
    if row is None:
        raise NotFound(missing)
    match.check(row.version)  # type: ignore[attr-defined]  # every entity has one
    return row


def _tags(request: Request, header: str) -> frozenset[str] | None:
    given = request.META.get(f"HTTP_{header.upper().replace('-', '_')}")
    if given is None:
        return None
    if given.strip() == "*":
        return frozenset("*")
    if not TAGS.fullmatch(given):
        raise ParseError(f'{header} is a list of entity tags such as "7", or *.')
    return frozenset(TAG.findall(given))
