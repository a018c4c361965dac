"""Sends a change to a client's URL, signed by the Standard Webhooks specification."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
)
from standardwebhooks import Webhook
from yarl import URL

from lockstep import telemetry
from lockstep.conf import Network
from lockstep.delivery.clock import DatabaseClock
from lockstep.delivery.destinations.addresses import ForbiddenAddress, NoPublicAddress, check_addresses
from lockstep.delivery.destinations.resolving import PublicResolver, numeric_addresses
from lockstep.delivery.errors import DeliveryError, Receipt, Rejected, RetryLater, TimedOut, Unreachable
from lockstep.delivery.subscriptions import Claim
from lockstep.http.client import trusted
from lockstep.http.retry_after import retry_after_seconds
from lockstep.version import VERSION

__all__ = ["Destination", "WebhookSender", "webhook_sender"]

MAX_RESPONSE_BYTES = 64 * 1024  # that are read of a response
EXCERPT = 2_000  # characters of it that are kept
IDLE_SECONDS = 2.0  # after which an idle connection is closed; most servers close it after 5 seconds
KEPT_HEADERS = frozenset({"content-type", "content-length", "date", "location", "retry-after", "server"})
RETRIED = frozenset({408, 409, 425, 429})
GONE = 410
REDACTED = "[redacted]"


class Gone(Rejected):
    """The receiver has answered 410 Gone."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL and the secrets to sign with, the newest first."""

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
    """The headers that the specification requires, and the usual ones."""
    signatures = [Webhook(secret).sign(message_id, now, body.decode()) for secret in destination.secrets]
    return {
        "content-type": "application/json",
        "user-agent": f"lockstep/{VERSION}",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


class WebhookSender:
    """Connections to one receiver."""

    def __init__(self, session: ClientSession, deadline: float, opened: Sequence[Network] = ()) -> None:
        self._session = session
        self._deadline = deadline
        self._opened = opened

    async def send(self, destination: Destination, message_id: UUID, body: bytes, clock: DatabaseClock) -> Receipt:
        """Sends one message, signed with the time of `clock`; returns the receipt of a 2xx response.

        Receivers reject timestamps that are some minutes off, so this machine's clock is not used. Raises Unreachable,
        TimedOut, RetryLater, Rejected or Gone, with the receipt of the response, if any.
        """
        headers = signed_headers(destination, str(message_id), body, clock.now()) | telemetry.headers()
        sent: Receipt = {"request_headers": headers | {"webhook-signature": REDACTED}}
        try:
            async with asyncio.timeout(self._deadline):
                status, answered, text = await self._exchange(URL(destination.url, encoded=True), headers, body)
        except NoPublicAddress as error:  # the same for an unknown name and for one of our own network
            raise Unreachable(str(error), receipt=sent) from error
        except ForbiddenAddress as error:
            raise Rejected(str(error), receipt=sent) from error
        except TimeoutError as error:
            raise TimedOut(f"no whole answer within {self._deadline:g} s", receipt=sent) from error
        except ClientConnectorError as error:
            raise Unreachable(_cause(error), receipt=sent) from error
        except (ClientError, OSError) as error:
            raise RetryLater(_cause(error), receipt=sent) from error
        receipt: Receipt = {**sent, "status": status, "response_headers": answered, "response": text}
        if refusal := _refusal(status, answered, receipt, clock.now()):
            raise refusal
        return receipt

    async def _exchange(self, url: URL, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], str]:
        """Status, some headers and the beginning of the body, which is not decompressed."""
        if numeric := numeric_addresses(url.host or ""):  # aiohttp does not resolve these
            check_addresses(url.host or "", numeric, self._opened)
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            beginning = b""
            while len(beginning) < MAX_RESPONSE_BYTES and (chunk := await response.content.read(MAX_RESPONSE_BYTES)):
                beginning += chunk
            if not response.content.at_eof():
                response.close()
        kept = {name: response.headers[name][:EXCERPT] for name in KEPT_HEADERS if name in response.headers}
        return response.status, kept, beginning[:EXCERPT].decode(errors="replace")


@asynccontextmanager
async def webhook_sender(
    *, concurrency: int, deadline: float, opened: Sequence[Network] = ()
) -> AsyncIterator[WebhookSender]:
    """A sender for one receiver, with at most `concurrency` requests at once and `deadline` seconds for each."""
    resolver = PublicResolver(opened)
    connector = TCPConnector(
        resolver=resolver,
        use_dns_cache=False,
        ssl=trusted(),
        limit=concurrency,
        keepalive_timeout=IDLE_SECONDS,
    )
    try:
        async with ClientSession(
            connector=connector,
            connector_owner=True,
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None),  # `deadline` limits it
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding"),
        ) as session:
            yield WebhookSender(session, deadline, opened)
    finally:
        await resolver.close()  # a connector closes only a resolver that it has made


def _refusal(status: int, headers: dict[str, str], receipt: Receipt, now: datetime) -> DeliveryError | None:
    if 200 <= status < 300:
        return None
    if status in RETRIED or status >= 500:
        seconds = retry_after_seconds(headers.get("retry-after"), headers.get("date"), now=now)
        return RetryLater(f"answered {status}", seconds, receipt=receipt)
    if status == GONE:
        return Gone("answered 410 Gone", receipt=receipt)
    where = " (redirects are not followed)" if 300 <= status < 400 else ""
    return Rejected(f"answered {status}{where}", receipt=receipt)


def _cause(error: Exception) -> str:
    """The error's message without the URL: its path may be a secret, and causes are logged."""
    if isinstance(error, ClientResponseError):
        return f"{type(error).__name__}: {error.message}"
    if isinstance(error, InvalidURL):
        return "the URL cannot be called"
    if isinstance(error, ClientConnectorError):
        return str(error).replace(" ssl:default", "").replace(" ssl:True", "")  # of each URL, http:// too
    return str(error) or type(error).__name__
