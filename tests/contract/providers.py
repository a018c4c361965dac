"""Starts providers for tests: the real json-server and JSONPlaceholder. Each ends only what it started."""

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from lockstep.tests.kit.waiting import eventually
from tests.acceptance.running import ROOT, free_port


def node_modules() -> Path:
    """Where the npm packages are: LOCKSTEP_NODE_MODULES, else within .lockstep."""
    return Path(os.environ.get("LOCKSTEP_NODE_MODULES") or ROOT / ".lockstep" / "npm" / "node_modules").resolve()


def deno() -> Path:
    """The program, which comes as an npm package."""
    return node_modules() / ".bin" / "deno"


class NodeServer:
    """A server run by node on 127.0.0.1, from `with` to its end; `url` is where it listens."""

    def __init__(self, arguments: list[str], port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = (folder / f"node-{port}.log").open("w+")
        self._process = subprocess.Popen(
            ["node", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """Ends it at once, as kill -9 does. May be called again."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _wait(self) -> None:
        eventually(lambda: self._process.poll() is not None or self._answers(), "the server to answer")
        if self._process.poll() is not None:
            self._log.seek(0)
            raise RuntimeError(f"{self._process.args!r} ended: {self._log.read()[-2000:]}")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/posts/1", timeout=30).status_code < 500
        except httpx.TransportError:
            return False


def start_json_server(folder: Path, port: int | None = None) -> NodeServer:
    """json-server over JSONPlaceholder's data in `folder`; started there again it has what it had."""
    data = folder / "db.json"
    if not data.exists():
        shutil.copyfile(node_modules() / "jsonplaceholder" / "data.json", data)
    script = node_modules() / "json-server" / "lib" / "cli" / "bin.js"
    port = port or free_port()
    return NodeServer([str(script), "--quiet", "--host", "127.0.0.1", "--port", str(port), "db.json"], port, folder)


def start_real_jsonplaceholder(folder: Path, *, public: bool = False) -> NodeServer:
    """npm jsonplaceholder, or with `public` what jsonplaceholder.typicode.com runs; logs go to `folder`."""
    script = Path(__file__).with_name("serve_jsonplaceholder.js")
    port = free_port()
    kind = ["public"] if public else []
    return NodeServer([str(script), str(node_modules()), str(port), *kind], port, folder)
