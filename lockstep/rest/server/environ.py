"""An ASGI scope as the WSGI environ that Django reads."""

import sys
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIEnvironment

Scope = Mapping[str, Any]  # a connection of ASGI
Message = Scope  # an event of it
Environ = WSGIEnvironment

EXCHANGE = "lockstep.exchange"  # the key of the request's Exchange
SAME_FOR_ALL: Environ = {
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
}
ONCE = frozenset(("CONTENT_TYPE", "CONTENT_LENGTH"))  # the first counts


def environ_of(scope: Scope) -> Environ:
    """The environ of a request whose body is not read yet."""
    environ = SAME_FOR_ALL.copy()
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    environ["REQUEST_METHOD"] = scope["method"]
    environ["SCRIPT_NAME"] = scope.get("root_path", "")
    environ["PATH_INFO"] = (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
    environ["QUERY_STRING"] = scope["query_string"].decode("latin-1")
    environ["SERVER_PROTOCOL"] = f"HTTP/{scope['http_version']}"
    environ["SERVER_NAME"], environ["SERVER_PORT"] = scope.get("server") or ("", "")
    environ["REMOTE_ADDR"] = (scope.get("client") or ("",))[0]
    environ["wsgi.url_scheme"] = scope["scheme"]
    environ["wsgi.input"] = BytesIO()
    for raw, value in scope["headers"]:
        if name := _name(raw):
            _add(environ, name, value.decode("ascii") if value.isascii() else "")
    return environ


def _add(environ: Environ, name: str, value: str) -> None:
    if name not in environ:
        environ[name] = value
    elif name not in ONCE:
        environ[name] += f"{'; ' if name == 'HTTP_COOKIE' else ','}{value}"


@lru_cache(1_000)
def _name(header: bytes) -> str | None:
    """The key of a header; None for a name with an underscore, which would be confused with one with a hyphen."""
    if b"_" in header:
        return None
    name = header.decode("latin-1").upper().replace("-", "_")
    return name if name in ONCE else f"HTTP_{name}"
