"""X-Forwarded-Proto is accepted from trusted proxies only."""

import logging
from ipaddress import ip_network
from typing import Any

import pytest

from lockstep.rest.server.proxies import SCHEME, plain_address, remove_untrusted_scheme

ADDRESSES = [
    ("10.1.2.3", True),
    ("::ffff:10.1.2.3", True),
    ("11.0.0.1", False),
    ("fd00::1", True),
    ("fe80::1", False),
    ("", False),
    ("unix:/run/x", False),
]


@pytest.mark.parametrize(("address", "is_believed"), ADDRESSES)
def test_only_a_trusted_proxy_can_mark_a_request_as_https(settings: Any, address: str, is_believed: bool):
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_TRUSTED_PROXIES": [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]}
    environ = {"REMOTE_ADDR": address, SCHEME: "https"}
    remove_untrusted_scheme(environ)
    assert (SCHEME in environ) is is_believed


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::7:4711", "2001:db8::7:4711"),
        ("192.0.2.7:port", None),
        ("[2001:db8::7", None),
        ("192.0.2:80", None),
        ("unknown", None),
    ],
)
def test_an_address_is_read_with_and_without_a_port(text: str, address: str | None):
    assert plain_address(text) == address


def test_forwarded_headers_are_ignored_without_trusted_proxies(settings: Any, caplog: pytest.LogCaptureFixture):
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_TRUSTED_PROXIES": []}
    environ = {"REMOTE_ADDR": "127.0.0.1", SCHEME: "https"}
    remove_untrusted_scheme(environ)
    assert SCHEME not in environ
    assert not caplog.records


def test_a_proxy_that_is_not_named_is_in_the_log_once(settings: Any, caplog: pytest.LogCaptureFixture):
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_TRUSTED_PROXIES": [ip_network("10.0.0.0/8")]}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            remove_untrusted_scheme({"REMOTE_ADDR": "192.0.2.77", SCHEME: "https"})
    assert [record.getMessage() for record in caplog.records] == [
        "X-Forwarded-Proto of 192.0.2.77 is ignored: it is not in REST_TRUSTED_PROXIES"
    ]
