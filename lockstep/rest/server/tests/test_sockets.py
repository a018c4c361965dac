"""Socket options: the system closes connections whose client does not read."""

import socket

import pytest

from lockstep.rest.server.sockets import allow_open_files, limit_unread_responses


@pytest.mark.needs("linux")
def test_what_a_listening_socket_accepts_has_its_limit():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as other:
        assert limit_unread_responses(listener.getsockname()[1], 30) == 1
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
        assert other.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


def test_the_limit_of_open_files_is_never_lowered():
    before = allow_open_files(10)
    assert allow_open_files(10) == before >= 10
