"""A stand-in within a process: a server in a thread, with its faults and the requests that it has received."""

import threading
from types import TracebackType
from typing import Self

from devstack.sandbox import faults
from devstack.sandbox.server import Api, Server


class ServerInThread:
    """Listens from the beginning at `url`, and serves within `with`."""

    def __init__(self, host: str, port: int, api: Api) -> None:
        self._server = Server((host, port), api)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = self._server.url

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Stops serving, and releases its resources."""

    def faults(self, *several: dict[str, object], **one: object) -> None:
        """Sets what goes wrong from now on: `faults(status=503, times=2)`; `faults()` ends all trouble.

        Several at once as dictionaries; the first that meets a request wins. Raises faults.BadFault.
        """
        wanted = [*several, one] if one else [*several]
        self._server.faults.set(faults.parse(wanted))

    def release(self) -> int:
        """Does the writes that were `held`; how many."""
        return self._server.release()

    def requests(self) -> list[dict[str, str]]:
        """The last thousand requests, oldest first: method, path, time."""
        return self._server.request_log.shown()["last"]

    def counts(self) -> dict[str, int]:
        """How many requests came since the start: {"GET /posts": 3}."""
        return self._server.request_log.shown()["counts"]

    def forget_requests(self) -> None:
        """Starts counting anew."""
        self._server.request_log.reset()
        self._server.arrivals.reset()
