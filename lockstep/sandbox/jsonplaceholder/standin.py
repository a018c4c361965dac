"""The stand-in for tests: a server in a thread of this process."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from lockstep.sandbox.jsonplaceholder import faults
from lockstep.sandbox.jsonplaceholder.api import Api
from lockstep.sandbox.jsonplaceholder.habits import HABITS, Mode
from lockstep.sandbox.jsonplaceholder.server import Server
from lockstep.sandbox.jsonplaceholder.store import Store


class StandIn:
    """A stand-in of JSONPlaceholder: `with StandIn() as server: server.url`.

    `mode` is "persistent" (json-server), "amnesiac" (npm jsonplaceholder) or "public"
    (jsonplaceholder.typicode.com). With a `folder` it keeps its data over restarts. With `users` there are
    that many users, and json-server's habit shows: any DELETE also removes every post of any other user.
    It listens from the beginning, and serves within `with`.
    """

    def __init__(
        self,
        mode: Mode = "persistent",
        *,
        folder: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        posts: int = 100,
        comments_per_post: int = 5,
        users: int | None = None,
    ) -> None:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self._store = Store(folder, posts=posts, comments_per_post=comments_per_post, users=users)
        self._server = Server((host, port), Api(self._store, HABITS[mode]))
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
        self._store.close()

    def faults(self, *several: dict[str, Any], **one: Any) -> None:  # noqa: ANN401  see faults.Fault
        """Sets what goes wrong from now on: `faults(status=503, times=2)`; `faults()` ends all trouble.

        Several at once as dictionaries; the first that meets a request wins. Raises faults.BadFault.
        """
        wanted = [*several, one] if one else [*several]
        self._server.faults.set(faults.parse(wanted))

    def requests(self) -> list[dict[str, str]]:
        """The last thousand requests, oldest first: method, path, time."""
        last: list[dict[str, str]] = self._server.journal.shown()["last"]
        return last

    def counts(self) -> dict[str, int]:
        """How many requests came since the start: {"GET /posts": 3}."""
        counts: dict[str, int] = self._server.journal.shown()["counts"]
        return counts

    def forget_requests(self) -> None:
        """Starts counting anew."""
        self._server.journal.reset()

    def rows(self, collection: str) -> list[dict[str, Any]]:
        """All objects of a collection, in order."""
        return [orjson.loads(text) for page in self._store.documents(collection) for text in page]
