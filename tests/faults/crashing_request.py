"""One POST with an Idempotency-Key by a process that kills itself.

Run as `python -m tests.faults.crashing_request POINT TOKEN`.

POINT is "effect" (it is done and not yet written down that it is), "kept" (both, and not yet committed) or "committed"
(and not yet answered).
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.test import Client  # noqa: E402 - Django comes first

from lockstep.rest import idempotency  # noqa: E402

HEADERS = {"idempotency-key": "crashing"}
PATH, BODY = "/fakeapi/v1/posts/create/", {"title": "once", "body": "only"}


def die(*_: object, **__: object) -> None:
    """As kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def after(function: Callable[..., Any]) -> Callable[..., Any]:
    """Dies where this function would return."""

    def crashing(*arguments: object, **options: object) -> None:
        function(*arguments, **options)
        die()

    return crashing


def main(point: str, token: str) -> None:
    """Never returns."""
    if point == "effect":
        idempotency._store = die
    elif point == "kept":
        idempotency._store = after(idempotency._store)
    else:
        idempotency.once = after(idempotency.once)
    headers = HEADERS | {"authorization": f"Bearer {token}"}
    Client(SERVER_NAME="127.0.0.1").post(PATH, BODY, content_type="application/json", headers=headers)


if __name__ == "__main__":
    main(*sys.argv[1:])
