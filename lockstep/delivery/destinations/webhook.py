"""Sending a change to somebody's URL, signed as the Standard Webhooks specification says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ssl import SSLContext
from typing import Any

import httpcore
import orjson
from standardwebhooks import Webhook

from lockstep.delivery.destinations.addresses import ForbiddenAddress, Network
from lockstep.delivery.destinations.guarded_network import GuardedNetwork
from lockstep.delivery.errors import DeliveryError, Refused, TryAgain, Unreachable
from lockstep.delivery.subscriptions import Claim, Receipt
from lockstep.retry_after import retry_after_seconds
from lockstep.version import VERSION

LARGEST_ANSWER = 64 * 1024  # bytes that are read of an answer
EXCERPT = 2_000  # characters of it that are kept
IDLE_SECONDS = 5.0  # then an idle connection is closed
SHOWN_HEADERS = frozenset({"content-type", "content-length", "date", "location", "retry-after", "server"})
RETRIED = frozenset({408, 409, 425, 429})
GONE = 410
REDACTED = "[redacted]"


class Gone(Refused):
    """The receiver says that nobody is there any more."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to, and what to sign with: with each of the secrets, the newest first."""

    url: str
    secrets: tuple[str, ...]


def event_type(claim: Claim) -> str:
    """<app>.<model>.<created|updated|deleted>"""
    return f"{claim.change.model}.{claim.change.kind}"


def body_of(claim: Claim) -> bytes:
    """{"type", "timestamp", "data": {"id", "before", "after"}}; before and after hold the captured columns."""
    change = claim.change
    data = {"id": change.object_id, "before": change.before, "after": change.after}
    return orjson.dumps({"type": event_type(claim), "timestamp": change.at, "data": data}, option=orjson.OPT_UTC_Z)


def signed_headers(destination: Destination, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """What the specification asks for, and the usual ones."""
    signatures = [Webhook(secret).sign(message_id, now, body.decode()) for secret in destination.secrets]
    return {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": f"lockstep/{VERSION}",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


class WebhookSender:
    """Connections to one receiver."""

    def __init__(self, pool: httpcore.AsyncConnectionPool, deadline: float) -> None:
        self._pool = pool
        self._deadline = deadline

    async def send(self, destination: Destination, claim: Claim) -> Receipt:
        """Sends one change; returns the receipt of an answer of 2xx.

        Raises Unreachable, TryAgain, Refused or Gone, with the receipt of what came back, if anything did.
        """
        body = body_of(claim)
        headers = signed_headers(destination, str(claim.message_id), body, datetime.now(UTC))
        sent = headers | {"webhook-signature": REDACTED}
        request = httpcore.Request("POST", destination.url, headers=list(_raw(destination.url, headers)), content=body)
        try:
            async with asyncio.timeout(self._deadline):
                answer = await self._exchange(request)
        except ForbiddenAddress as error:
            raise Refused(str(error), receipt={"request_headers": sent}) from error
        except TimeoutError as error:
            silence = f"no whole answer within {self._deadline:g} s"
            raise TryAgain(silence, receipt={"request_headers": sent}) from error
        except httpcore.ConnectError as error:
            raise Unreachable(_cause(error), receipt={"request_headers": sent}) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise TryAgain(_cause(error), receipt={"request_headers": sent}) from error
        receipt = {"request_headers": sent, **answer}
        refusal = _refusal(answer["status"], answer["response_headers"], receipt)
        if refusal:
            raise refusal
        return receipt

    async def _exchange(self, request: httpcore.Request) -> dict[str, Any]:
        """Status, some headers and the beginning of the body, which is neither decompressed nor read to a far end."""
        response = await self._pool.handle_async_request(request)
        body = b""
        async with contextlib.aclosing(response):
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) >= LARGEST_ANSWER:
                    break
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return {
            "status": response.status,
            "response_headers": {name: headers[name][:EXCERPT] for name in sorted(SHOWN_HEADERS & headers.keys())},
            "response": body[:EXCERPT].decode(errors="replace"),
        }


@asynccontextmanager
async def webhook_sender(
    *, concurrency: int, deadline: float, opened: Sequence[Network] = ()
) -> AsyncIterator[WebhookSender]:
    """A sender for one receiver: at most so many requests at once, each answered within so many seconds."""
    network = GuardedNetwork(opened)
    pool = httpcore.AsyncConnectionPool(
        ssl_context=_ssl_context(),
        max_connections=concurrency,
        max_keepalive_connections=concurrency,
        keepalive_expiry=IDLE_SECONDS,
        network_backend=network,
    )
    try:
        async with pool:
            yield WebhookSender(pool, deadline)
    finally:
        network.close()


@lru_cache(maxsize=1)
def _ssl_context() -> SSLContext:
    return httpcore.default_ssl_context()


def _raw(url: str, headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    origin = httpcore.URL(url).origin
    host = origin.host if origin.port in (80, 443) else origin.host + b":%d" % origin.port
    return [(b"host", host), *((name.encode(), value.encode()) for name, value in headers.items())]


def _refusal(status: int, headers: dict[str, str], receipt: Receipt) -> DeliveryError | None:
    if 200 <= status < 300:
        return None
    if status in RETRIED or status >= 500:
        return TryAgain(f"answered {status}", retry_after_seconds(headers.get("retry-after")), receipt=receipt)
    if status == GONE:
        return Gone("answered 410: nobody is there any more", receipt=receipt)
    where = " (redirects are not followed)" if 300 <= status < 400 else ""
    return Refused(f"answered {status}{where}", receipt=receipt)


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__
