"""Optimistic concurrency: an object's ETag is the version of its row, the same for all users and representations.

A client that read an object with `ETag: "7"` changes it with `If-Match: "7"`. If the object was changed meanwhile, the
response is 412 and nothing is written. Reading again with `If-None-Match: "7"` returns 304 without a body.
"""

import re
from dataclasses import dataclass
from typing import TypeVar

from django.db import models
from orjson import Fragment
from rest_framework.exceptions import ParseError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from lockstep.rest.errors import NotFound, PreconditionFailed
from lockstep.rest.fastpath import Values
from lockstep.rest.responses import ApiResponse, etag

__all__ = ["ANY_VERSION", "Match", "answer", "if_match", "lock", "object_response"]

M = TypeVar("M", bound=models.Model)

TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
# Tags with commas between them; empty elements are ignored (RFC 9110, 5.6.1). No backtracking: it is linear.
TAGS = re.compile(rf"[ \t,]*+(?:{TAG.pattern}[ \t]*+(?:,[ \t,]*+|\Z))++")


@dataclass(frozen=True, slots=True)
class Match:
    """The versions of an object that a request expects; None for any."""

    tags: frozenset[str] | None = None

    def check(self, *versions: object) -> None:
        """Raises PreconditionFailed for any other version."""
        if self.tags is not None and etag(*versions) not in self.tags:
            raise PreconditionFailed


ANY_VERSION = Match()


def if_match(request: Request) -> Match:
    """The request's If-Match. Weak tags match nothing (RFC 9110). Raises ParseError."""
    tags = _tags(request, "If-Match")
    return Match(None if tags is None or "*" in tags else tags)


def answer(request: Request, data: object, *versions: object, status: int = 200) -> ApiResponse:
    """The response with an object and its ETag; 304 without a body when If-None-Match has that ETag.

    Raises PreconditionFailed when the If-Match of a read has another one; a write has compared before it wrote. The
    response to a creation, which has nothing to compare, needs no more than `etag`.
    """
    tag = etag(*versions)
    if request.method in SAFE_METHODS:
        if "HTTP_IF_MATCH" in request.META:
            if_match(request).check(*versions)
        if "HTTP_IF_NONE_MATCH" in request.META:
            known = _tags(request, "If-None-Match") or frozenset()
            if "*" in known or tag in {one.removeprefix("W/") for one in known}:
                return ApiResponse(status=304, headers={"ETag": tag})
    return ApiResponse(data, status=status, headers={"ETag": tag})


def object_response(request: Request, row: Values | None, missing: str, status: int = 200) -> ApiResponse:
    """The same for an object that a statement returned as its version and its JSON.

    Raises NotFound with the detail `missing` without a row.
    """
    if row is None:
        raise NotFound(missing)
    version, body = row
    return answer(request, Fragment(body), version, status=status)


def lock(rows: models.QuerySet[M], match: Match, missing: str | None = None, **which: object) -> M:
    """The row, locked until the end of the transaction.

    Raises NotFound with the detail `missing`, and PreconditionFailed for another version.
    """
    row = rows.select_for_update(no_key=True, of=("self",)).filter(**which).first()
    if row is None:
        raise NotFound(missing)
    match.check(row.version)  # type: ignore[attr-defined]  # every entity has one
    return row


def _tags(request: Request, header: str) -> frozenset[str] | None:
    value = request.META.get(f"HTTP_{header.upper().replace('-', '_')}")
    if value is None:
        return None
    if value.strip() == "*":
        return frozenset("*")
    if not TAGS.fullmatch(value):
        raise ParseError(f'{header} must be a list of entity tags such as "7", or *.')
    return frozenset(TAG.findall(value))
