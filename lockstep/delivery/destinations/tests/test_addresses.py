"""Which addresses may be reached, and that nothing lies between the check and the connection."""

import asyncio
import ipaddress
import socket

import httpcore
import pytest

from lockstep.delivery.destinations import guarded_network
from lockstep.delivery.destinations.addresses import ForbiddenAddress, check_addresses, may_be_reached
from lockstep.delivery.destinations.guarded_network import GuardedNetwork

PUBLIC = ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]
PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
    "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::1", "2001:db8::1", "fc00::1", "fd12::1",
    "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1",
    "", "nonsense", "127.1", "1.2.3.4.5",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_may_be_reached(address: str):
    assert may_be_reached(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_nothing_else_may(address: str):
    assert not may_be_reached(address)


def test_a_network_that_was_opened_may():
    opened = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    assert may_be_reached("10.1.2.3", opened)
    assert may_be_reached("fd00::1", opened)
    assert not may_be_reached("192.168.0.1", opened)


def test_one_private_address_among_public_ones_is_one_too_many():
    with pytest.raises(ForbiddenAddress):
        check_addresses("example.com", ["1.1.1.1", "10.0.0.1"])
    with pytest.raises(ForbiddenAddress):
        check_addresses("example.com", [])


class Names:
    """A name server whose answer changes with every question, as a rebinding attacker's does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.asked = 0
        self.answers = answers
        monkeypatch.setattr(guarded_network, "_addresses", self.look_up)

    def look_up(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


class Wire:
    """Takes the place of the network: writes down where connections go."""

    def __init__(self) -> None:
        self.tried: list[str] = []

    async def connect_tcp(self, host: str, *_: object) -> httpcore.AsyncNetworkStream:
        self.tried.append(host)
        raise httpcore.ConnectError("nobody there")


def connect(network: GuardedNetwork, host: str = "example.com") -> None:
    asyncio.run(network.connect_tcp(host, 443))


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch):
    names, wire = Names(monkeypatch, ["1.1.1.1", "1.0.0.1"], ["10.0.0.1"]), Wire()
    network = GuardedNetwork()
    network._inner = wire
    with pytest.raises(httpcore.ConnectError):
        connect(network)
    assert (names.asked, wire.tried) == (1, ["1.1.1.1", "1.0.0.1"])


def test_a_name_that_turns_private_is_refused_at_the_next_connection(monkeypatch: pytest.MonkeyPatch):
    Names(monkeypatch, ["1.1.1.1"], ["127.0.0.1"])
    wire = Wire()
    network = GuardedNetwork()
    network._inner = wire
    with pytest.raises(httpcore.ConnectError):
        connect(network)
    with pytest.raises(ForbiddenAddress):
        connect(network)
    assert wire.tried == ["1.1.1.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "::1", "127.1"])
def test_every_spelling_of_this_machine_is_refused(host: str):
    with pytest.raises((ForbiddenAddress, httpcore.ConnectError)) as caught:
        connect(GuardedNetwork(), host)
    if isinstance(caught.value, httpcore.ConnectError):
        assert "no address" in str(caught.value)


def test_a_socket_file_is_no_destination():
    with pytest.raises(httpcore.ConnectError):
        asyncio.run(GuardedNetwork().connect_unix_socket("/run/secret.sock"))


def test_a_slow_name_server_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch):
    """Each destination resolves on a thread of its own."""
    import threading

    let_go = threading.Event()

    def look_up(host: str, port: int) -> list[str]:
        if host == "slow.example":
            let_go.wait(10)
        return ["10.0.0.1"]

    monkeypatch.setattr(guarded_network, "_addresses", look_up)

    async def run() -> None:
        slow = [asyncio.create_task(GuardedNetwork().connect_tcp("slow.example", 443)) for _ in range(50)]
        await asyncio.sleep(0)
        with pytest.raises(ForbiddenAddress):
            await GuardedNetwork().connect_tcp("fast.example", 443)
        assert not any(task.done() for task in slow)
        let_go.set()
        await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(run())


def test_resolving_is_the_systems():
    assert "127.0.0.1" in guarded_network._addresses("127.0.0.1", 80)
    with pytest.raises(socket.gaierror):
        guarded_network._addresses("no-such-name.invalid", 80)
