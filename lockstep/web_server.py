"""The command that runs the web server, with the limits that it has itself. It knows no Django.

The event loop holds connections that send nothing, or half of their headers; `api/server/` what comes after those.
"""

MAX_CONNECTIONS = 8_000  # idle ones cost some kilobytes each; above that a client waits to be accepted
HEADER_MILLISECONDS = 30_000  # for the headers of a request, and between two requests of a connection
BACKLOG = 1_024  # connections that the system accepted and the server did not


def command(python: str, *, host: str, port: int, workers: int) -> list[str]:
    """The program and its arguments."""
    options = {
        "interface": "asginl",
        "loop": "uvloop",
        "http": "1",  # by 2, or by guessing which, a connection that sends nothing would stay for ever
        "host": host,
        "port": str(port),
        "workers": str(workers),
        "backlog": str(BACKLOG),
        "backpressure": str(MAX_CONNECTIONS),
        "http1-header-read-timeout": str(HEADER_MILLISECONDS),
        "log-level": "error",
        "workers-kill-timeout": "3",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return [python, "-m", "granian", *words, "--no-ws", "--respawn-failed-workers", "lockstep.config.asgi:application"]
