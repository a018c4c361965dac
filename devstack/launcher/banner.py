"""What is printed when everything works: where it is, how to sign in, and something to try."""

import shlex
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit, urlunsplit

from rich.console import RenderableType
from rich.text import Text

from devstack.launcher.environment import ROOT, Environment

LABEL_WIDTH = 12
OUTAGE = ".venv/bin/python manage.py sandbox fault provider --status 503 --for 30s"


def parts(environment: Environment, values: Mapping[str, str], *, embedded: bool) -> Iterator[RenderableType]:
    """No boxes: a frame would be copied with what stands in it, and cut it in a narrow terminal."""
    yield ""
    yield Text("  Lockstep is ready.", style="bold green")
    yield ""
    yield from _places(environment, values, embedded=embedded)
    if values["DEBUG"].lower() in ("true", "1", "yes", "on"):
        yield from _accounts()
        if "WEBHOOK_ALLOW_NETWORKS" not in environment.variables:
            yield _row(
                "Webhooks", "WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8", "   at the start: lets them reach this machine"
            )
            yield ""
        yield from _example(environment.address, values["POSTS_PROVIDER_URL"])
        if "POSTS_PROVIDER_URL" not in environment.variables:
            yield from _outage(environment)
    yield Text("  Ctrl-C ends everything; the data stays for the next start.", style="dim")
    yield ""


def _places(environment: Environment, values: Mapping[str, str], *, embedded: bool) -> Iterator[RenderableType]:
    provider = "" if "POSTS_PROVIDER_URL" in environment.variables else "   a stand-in for JSONPlaceholder"
    payments = "" if "PAYMENTS_URL" in environment.variables else "   a stand-in; its page lists the test cards"
    counter = "" if "COUNTER_URL" in environment.variables else "   a stand-in; it counts defects"
    movies = "" if "MOVIES_PROVIDER_URL" in environment.variables else "   a stand-in for November 7"
    engine = "embedded PostgreSQL, " if embedded else ""
    yield _row("Start page", f"{environment.address}/", "   open it in a browser: it shows everything")
    yield _row("API", f"{environment.address}/fakeapi/v1/posts/")
    yield _row("", f"{environment.address}/api/schema/swagger-ui/", "   to read and try out")
    yield _row("Console", f"{environment.address}/console/", "   what waits, and why; for admin")
    yield _row("Admin", f"{environment.address}/admin/")
    yield _row("Provider", values["POSTS_PROVIDER_URL"], provider)
    yield _row("Payments", values["PAYMENTS_URL"], payments)
    yield _row("Counter", values["COUNTER_URL"], counter)
    yield _row("Movies", values["MOVIES_PROVIDER_URL"], movies)
    yield _row("Database", without_password(values["DATABASE_URL"]))
    yield _row("", "", f"{engine}password in {environment.home / 'environment'}")
    yield ""


def _accounts() -> Iterator[RenderableType]:
    yield _row("Sign in", "user / 1234", "   for the API")
    yield _row("", "admin / 12345", " for the admin as well")
    yield _row("OAuth 2", "lockstep-dev", "  a public client")
    yield ""


def _example(address: str, provider: str) -> Iterator[RenderableType]:
    json = "-H 'Content-Type: application/json'"
    yield Text("  Try it: sign in, write a post, and see it arrive at the provider.", style="bold")
    yield ""
    credentials = '{"username": "user", "password": "1234"}'
    yield Text(f"TOKEN=$(curl -s {address}/auth/ {json} -d '{credentials}' | cut -d '\"' -f 4)")
    post = '{"title": "Hello", "body": "In step."}'
    yield Text(f"curl -s {address}/fakeapi/v1/posts/create/ -H \"Authorization: Bearer $TOKEN\" {json} -d '{post}'")
    yield ""
    yield _row("See it at", f"{provider.rstrip('/')}/posts?userId=99999942")
    yield ""


def _outage(environment: Environment) -> Iterator[RenderableType]:
    home = "" if environment.home == ROOT / ".lockstep" else f"LOCKSTEP_HOME={shlex.quote(str(environment.home))} "
    yield _row("An outage", f"{home}{OUTAGE}", "   posts wait, and arrive after it")
    yield ""


def _row(label: str, value: str, remark: str = "") -> Text:
    return Text.assemble((f"  {label:<{LABEL_WIDTH}}", "dim"), (value, "cyan"), (remark, "dim"))


def without_password(url: str) -> str:
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{place}" if user else place))
