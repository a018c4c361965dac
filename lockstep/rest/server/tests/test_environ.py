"""The WSGI environment of an ASGI scope."""

from typing import Any

from lockstep.rest.server.environ import environ_of


def environ(*headers: tuple[bytes, bytes], **scope: Any) -> dict[str, Any]:
    plain = {"method": "GET", "raw_path": b"/", "query_string": b"", "http_version": "1.1", "scheme": "http"}
    return environ_of({**plain, "headers": headers, **scope})


def test_the_path_is_decoded_once_and_byte_by_byte():
    assert environ(raw_path=b"/a%2520%C3%A9")["PATH_INFO"] == "/a%20\xc3\xa9"
    assert environ(query_string=b"q=%C3%A9&x=\xe9")["QUERY_STRING"] == "q=%C3%A9&x=\xe9"


def test_a_header_with_an_underscore_does_not_pass_for_a_proxys():
    environment = environ((b"x-forwarded-for", b"10.0.0.1"), (b"x_forwarded_for", b"6.6.6.6"), (b"x_request_id", b"x"))
    assert environment["HTTP_X_FORWARDED_FOR"] == "10.0.0.1"
    assert "HTTP_X_REQUEST_ID" not in environment


def test_headers_that_come_twice():
    environment = environ(
        *((b"accept", b"a"), (b"accept", b"b"), (b"cookie", b"a=1"), (b"cookie", b"b=2")),
        *((b"content-type", b"text/plain"), (b"content-type", b"application/json")),
    )
    assert environment["HTTP_ACCEPT"] == "a,b"
    assert environment["HTTP_COOKIE"] == "a=1; b=2"
    assert environment["CONTENT_TYPE"] == "text/plain"


def test_nothing_of_the_process_is_in_the_environ():
    assert not {"SECRET_KEY", "DATABASE_URL", "PATH"} & environ().keys()


def test_a_scope_without_addresses_is_accepted():
    environment = environ(server=None, client=None)
    assert (environment["SERVER_NAME"], environment["REMOTE_ADDR"]) == ("", "")
