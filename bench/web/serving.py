"""Starting web servers, and asking them for as much as they give."""

import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from backend import web_server
from bench.processes import ROOT
from bench.row import Unavailable
from devstack.launcher.home import free_port

WORKERS = 2  # one a core, as with every peer
CONNECTIONS = 16
PATIENCE = 120.0
ORDER = """
local numbers, tokens, run, sent = {%(numbers)s}, {%(tokens)s}, "%(run)s", 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  local lines = {}
  for i = 1, %(lines)d do
    lines[i] = string.format('{"product":%%d,"quantity":1}', numbers[math.random(#numbers)])
  end
  sent = sent + 1
  wrk.headers["Authorization"] = "Bearer " .. tokens[sent %% #tokens + 1]
  if run ~= "" then wrk.headers["Idempotency-Key"] = run .. sent end
  return wrk.format(nil, nil, nil, '{"lines":[' .. table.concat(lines, ",") .. "]}")
end
"""


@contextmanager
def serving_ours(errors: IO[str] | None = None, workers: int = WORKERS) -> Iterator[str]:
    """Lockstep, as it is served; its address."""
    port = free_port()
    command = web_server.command(sys.executable, host="127.0.0.1", port=port, workers=workers)
    with subprocess.Popen(command, cwd=ROOT, stderr=errors) as process:
        try:
            yield _answering(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


@contextmanager
def serving(application: str, interface: str, threads: int, errors: IO[str] | None = None) -> Iterator[str]:
    """granian with this application, until the end of the block; its address."""
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(WORKERS), "--log-level", "error"]
    threading = ["--blocking-threads", str(threads)] if interface == "wsgi" else []
    command = [sys.executable, "-m", "granian", "--interface", interface, *options, *threading, application]
    with subprocess.Popen(command, cwd=ROOT, stderr=errors) as process:
        try:
            yield _answering(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def _answering(address: str) -> str:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            httpx.get(address, timeout=1.0, trust_env=False)
            return address
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def requests_per_second(url: str, token: str, seconds: float) -> float:
    """What wrk gets from this address with 16 connections. Raises Unavailable, and ValueError for any refusal."""
    answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    if answer.status_code != 200:
        raise ValueError(f"{url} answered {answer.status_code}: {answer.text[:300]}")
    return _wrk(url, token, seconds)


def orders_per_second(
    url: str,
    tokens: Sequence[str],
    seconds: float,
    products: Sequence[int],
    lines: int,
    folder: Path,
    *,
    keys: bool = False,
) -> float:
    """The same for orders of so many products each, chosen at random among these numbers.

    Their buyers have these tokens, and take turns. With `keys` each order has an Idempotency-Key of its own.
    """
    script = folder / "order.lua"
    run = f"{secrets.token_hex(8)}-" if keys else ""
    quoted = ",".join(f'"{token}"' for token in tokens)
    values = {"numbers": ",".join(map(str, products)), "tokens": quoted, "run": run, "lines": lines}
    script.write_text(ORDER % values)
    return _wrk(url, tokens[0], seconds, "-s", str(script))


def _wrk(url: str, token: str, seconds: float, *options: str) -> float:
    if not shutil.which("wrk"):
        raise Unavailable("wrk is not installed (Debian: apt install wrk)")
    header = f"Authorization: Bearer {token}"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "-H", header, *options, url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if refused := re.search(r"Non-2xx or 3xx responses: (\d+)", printed):
        raise ValueError(f"{url} refused {refused[1]} requests")
    found = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert found
    return float(found[1])
