"""The page of a stand-in: the requests that arrived last, what was in them, their answers, and the faults in force.

Browsers get it at `/`; every other client gets there what the remote system answers. It needs no scripts.
"""

import base64
import hashlib
import html
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson

from devstack.sandbox.faults import Fault

MAX_ARRIVALS = 50
MAX_BODY_BYTES = 4096  # of a body that is kept for the page; of a longer one its length only
MAX_CHARACTERS = 600  # of one text on the page
REFRESH_SECONDS = 3
CONDITIONS = {"seconds", "share", "times", "methods", "path"}  # members of a fault that say when it applies
SECRET_MEMBERS = {"card_number", "cvc", "token"}
STYLE = """
:root { color-scheme: light dark; }
body { background: #fff; color: #111; }
a { color: #0645ad; }
@media (prefers-color-scheme: dark) { body { background: #121212; color: #eee; } a { color: #8ab4f8; } }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8886; padding: .3rem .6rem; text-align: left; vertical-align: top; }
code { overflow-wrap: anywhere; font-size: .875rem; }
.fault { font-weight: 600; }
@media (max-width: 40rem) {
  thead { display: none; }
  tr { display: block; border-bottom: 1px solid #8886; padding: .5rem 0; }
  td { display: block; border: 0; padding: .1rem 0; }
  td[data-name]::before { content: attr(data-name) ": "; }
}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass
class Arrival:
    """A request that arrived. `status` is None until it is answered, and for ever if it ended without an answer."""

    method: str
    target: str
    body: bytes = field(repr=False)
    length: int
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: int | None = None
    ended: bool = False
    fault: str = ""

    @property
    def outcome(self) -> str:
        """The status of the answer, or that there is none."""
        if self.status is not None:
            return str(self.status)
        return "no answer" if self.ended else "not yet answered"

    @property
    def content(self) -> str:
        """The object or list of the body without its secrets; of any other body its length."""
        if not self.length:
            return ""
        if self.length > MAX_BODY_BYTES:
            return f"{self.length:,} bytes"
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict | list):
            return f"{self.length:,} bytes that are no JSON object"
        return orjson.dumps(_without_secrets(document)).decode()


class Arrivals:
    """The last of them. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: deque[Arrival] = deque(maxlen=MAX_ARRIVALS)

    def add(self, method: str, target: str, body: bytes) -> Arrival:
        """A request has arrived; the caller sets what becomes of it."""
        kept = body if len(body) <= MAX_BODY_BYTES else b""
        arrival = Arrival(method, target[: MAX_CHARACTERS + 1], kept, len(body))
        with self._lock:
            self._last.append(arrival)
        return arrival

    def latest(self) -> list[Arrival]:
        """They, the latest first."""
        with self._lock:
            return list(reversed(self._last))

    def reset(self) -> None:
        """Deletes them."""
        with self._lock:
            self._last.clear()


def is_for_page(method: str, path: str, accept: str) -> bool:
    """Whether a browser asks for the page."""
    return method in ("GET", "HEAD") and path == "/" and "text/html" in accept.lower()


def page(name: str, arrivals: Sequence[Arrival], faults: Sequence[Mapping[str, object]], *, refreshes: bool) -> bytes:
    """The HTML of the page."""
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refreshes else ""
    switch = (
        f'Refreshed every {REFRESH_SECONDS} seconds. <a href="/?refresh=off">Stop refreshing</a>'
        if refreshes
        else '<a href="/">Refresh by itself</a>'
    )
    in_force = "".join(f'<li class="fault">{_text(words(fault))}</li>' for fault in faults)
    rows = "".join(_row(arrival) for arrival in arrivals)
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">{refresh}
<link rel="icon" href="data:,"><title>Stand-in: {_text(name)}</title><style>{STYLE}</style></head>
<body><main>
<h1>Stand-in: {_text(name)}</h1>
<p>A server of the development environment in the place of a remote system. {switch}</p>
<h2>Faults in force</h2>
{f"<ul>{in_force}</ul>" if faults else "<p>None.</p>"}
<h2>Latest requests</h2>
<p>The last {MAX_ARRIVALS} at most, the latest first. Times are in UTC.</p>
<div class="table" role="region" aria-label="Latest requests" tabindex="0"><table>
<thead><tr><th scope="col">Time</th><th scope="col">Request</th><th scope="col">Content</th>
<th scope="col">Answer</th><th scope="col">Fault</th></tr></thead>
<tbody>{rows or '<tr><td colspan="5">No request has arrived yet.</td></tr>'}</tbody>
</table></div>
</main></body></html>
""".encode()


def words(fault: Mapping[str, object]) -> str:
    """The members of a fault that are not the default: "status=503, times=2"."""
    default = vars(Fault())
    return ", ".join(f"{name}={_plain(value)}" for name, value in fault.items() if value != default[name])


def effects(fault: Fault) -> str:
    """What a fault did to one request: its words without those that say which requests it meets, and how long."""
    return words({name: value for name, value in vars(fault).items() if name not in CONDITIONS})


def _row(arrival: Arrival) -> str:
    cells = {
        "Time": f'<time datetime="{arrival.at.isoformat()}">{arrival.at:%H:%M:%S.%f}</time>',
        "Request": f"<code>{_text(f'{arrival.method} {arrival.target}')}</code>",
        "Content": f"<code>{_text(arrival.content)}</code>" if arrival.content else "",
        "Answer": _text(arrival.outcome),
        "Fault": f'<span class="fault">{_text(arrival.fault)}</span>' if arrival.fault else "",
    }
    attributes = {name: f' data-name="{name}"' if cell else "" for name, cell in cells.items()}
    return f"<tr>{''.join(f'<td{attributes[name]}>{cell}</td>' for name, cell in cells.items())}</tr>"


def _text(text: str) -> str:
    """The text in HTML: shortened, and without characters that cannot be seen."""
    short = text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"
    return html.escape("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in short))


def _plain(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _without_secrets(document: object) -> object:
    if isinstance(document, list):
        return [_without_secrets(one) for one in document]
    if not isinstance(document, dict):
        return document
    return {name: "…" if name in SECRET_MEMBERS else _without_secrets(value) for name, value in document.items()}
