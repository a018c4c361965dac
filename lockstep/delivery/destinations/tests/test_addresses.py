"""Which addresses may be reached, and that nothing lies between the check and the connection."""

import asyncio
import ipaddress
import socket
import threading
from uuid import UUID

import pytest

from lockstep.delivery.clock import DatabaseClock
from lockstep.delivery.destinations import resolving, webhook
from lockstep.delivery.destinations.addresses import ForbiddenAddress, check_addresses, may_be_reached
from lockstep.delivery.destinations.resolving import PublicResolver
from lockstep.delivery.destinations.webhook import Destination
from lockstep.delivery.errors import DeliveryError, Receipt, Unreachable
from lockstep.tests.kit.ports import free_port
from lockstep.webhooks.tests.receiver import receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

PUBLIC = ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]
PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
    "64:ff9b:1::a00:1", "64:ff9b:1::101:101", "64:ff9b:1:7f00:0:100:101:101",
    "2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::1", "2001:db8::1", "fc00::1", "fd12::1",
    "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1",
    "", "nonsense", "127.1", "1.2.3.4.5",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_may_be_reached(address: str):
    assert may_be_reached(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_other_addresses_may_not_be_reached(address: str):
    assert not may_be_reached(address)


def test_an_opened_network_may_be_reached():
    opened = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    assert may_be_reached("10.1.2.3", opened)
    assert may_be_reached("fd00::1", opened)
    assert not may_be_reached("192.168.0.1", opened)


def test_one_private_address_among_public_ones_is_one_too_many():
    with pytest.raises(ForbiddenAddress):
        check_addresses("example.com", ["1.1.1.1", "10.0.0.1"])
    with pytest.raises(ForbiddenAddress):
        check_addresses("example.com", [])


def test_the_network_of_a_translator_may_be_opened_by_name():
    assert may_be_reached("64:ff9b:1::101:101", [ipaddress.ip_network("64:ff9b:1::/48")])


class Names:
    """A name server whose answer changes with every question, as a rebinding attacker's does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.asked = 0
        self.answers = answers
        monkeypatch.setattr(resolving, "_addresses", self.look_up)

    def look_up(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]


def send(url: str, times: int = 1, opened: list = LOOPBACK, idle: float = 0.0) -> list[str]:
    """Sends so many webhooks one after another over a new connection each; how each went."""

    async def run() -> list[str]:
        async with webhook.webhook_sender(concurrency=1, deadline=5, opened=opened) as sender:
            found = []
            for _ in range(times):
                try:
                    found.append(str((await send_through(sender, url))["status"]))
                except DeliveryError as error:
                    found.append(str(error))
                await asyncio.sleep(idle)
            return found

    return asyncio.run(run())


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch):
    """A second look-up would have returned another address; there is none."""
    names = Names(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    with receiving() as receiver:
        assert send(receiver.url.replace("127.0.0.1", "rebound.example")) == ["204"]
        assert (names.asked, len(receiver.requests)) == (1, 1)
        assert receiver.requests[0].headers["host"].startswith("rebound.example:")


def test_a_name_that_turns_private_is_refused_at_the_next_connection(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webhook, "IDLE_SECONDS", 0.0)
    Names(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    with receiving() as receiver:
        found = send(receiver.url.replace("127.0.0.1", "rebound.example"), times=2, idle=0.05)
        assert found == ["204", "rebound.example has no address on the public internet"]
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost", "[::1]", "127.1", "[::ffff:127.0.0.1]"]
)
def test_every_spelling_of_this_machine_is_refused(host: str):
    with receiving() as receiver:
        [found] = send(receiver.url.replace("127.0.0.1", host), opened=[])
        assert "is not an address on the public internet" in found or "Cannot connect" in found
        assert receiver.requests == []


def test_names_in_our_network_and_unknown_names_have_one_error(monkeypatch: pytest.MonkeyPatch):
    def absent(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    causes = []
    for look_up in (absent, lambda host, port: ["10.0.0.1"], lambda host, port: ["1.1.1.1", "127.0.0.1"]):
        monkeypatch.setattr(resolving, "_addresses", look_up)
        with pytest.raises(DeliveryError) as failed:
            asyncio.run(send_once("http://db.internal.example/"))
        causes.append((type(failed.value), str(failed.value)))
    assert set(causes) == {(Unreachable, "db.internal.example has no address on the public internet")}


async def send_once(url: str) -> None:
    async with webhook.webhook_sender(concurrency=1, deadline=5) as sender:
        await send_through(sender, url)


async def send_through(sender: webhook.WebhookSender, url: str) -> Receipt:
    return await sender.send(Destination(url, (SECRET,)), UUID(int=1), b"{}", DatabaseClock())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cause_of_a_refused_connection_names_the_address_and_no_option_of_the_client(scheme: str):
    async def run() -> None:
        async with webhook.webhook_sender(concurrency=1, deadline=5, opened=LOOPBACK) as sender:
            await send_through(sender, f"{scheme}://127.0.0.1:{port}/")

    port = free_port()
    with pytest.raises(Unreachable, match=rf"^Cannot connect to host 127\.0\.0\.1:{port} \[Connect call failed"):
        asyncio.run(run())


def test_a_cause_does_not_contain_the_path_of_the_url():
    """A receiver that answers with no HTTP: the error of the client names the whole URL."""

    async def run() -> str:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 nonsense\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, webhook.webhook_sender(concurrency=1, deadline=5, opened=LOOPBACK) as sender:
            with pytest.raises(DeliveryError) as failed:
                await send_through(sender, f"http://127.0.0.1:{port}/the-secret")
        return str(failed.value)

    assert "the-secret" not in asyncio.run(run())


def test_a_slow_name_server_does_not_delay_other_lookups(monkeypatch: pytest.MonkeyPatch):
    """Each destination resolves on a thread of its own."""
    let_go = threading.Event()

    def look_up(host: str, port: int) -> list[str]:
        if host == "slow.example":
            let_go.wait(10)
        return ["10.0.0.1"]

    monkeypatch.setattr(resolving, "_addresses", look_up)

    async def run() -> None:
        slow = [asyncio.create_task(PublicResolver().resolve("slow.example", 443)) for _ in range(50)]
        await asyncio.sleep(0)
        with pytest.raises(ForbiddenAddress):
            await PublicResolver().resolve("fast.example", 443)
        assert not any(task.done() for task in slow)
        let_go.set()
        await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(run())


def test_names_below_localhost_are_refused_without_a_lookup(monkeypatch: pytest.MonkeyPatch):
    """A lookup here would hold up the event loop."""

    def look_up(*_: object, **__: object) -> list[str]:
        raise AssertionError("it was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(ForbiddenAddress):
        check_addresses("a.localhost", resolving.numeric_addresses("a.localhost"))


def test_a_sender_that_ends_closes_its_resolver(monkeypatch: pytest.MonkeyPatch):
    closed: list[PublicResolver] = []

    async def close(resolver: PublicResolver) -> None:
        closed.append(resolver)

    async def open_and_close() -> None:
        async with webhook.webhook_sender(concurrency=1, deadline=5):
            pass

    monkeypatch.setattr(PublicResolver, "close", close)
    asyncio.run(open_and_close())
    assert len(closed) == 1


def test_names_are_resolved_by_the_system():
    assert "127.0.0.1" in resolving._addresses("127.0.0.1", 80)
    with pytest.raises(socket.gaierror):
        resolving._addresses("no-such-name.invalid", 80)
