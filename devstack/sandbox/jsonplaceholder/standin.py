"""The stand-in for tests: a server in a thread of this process."""

from pathlib import Path

import orjson

from devstack.sandbox.jsonplaceholder.api import Api
from devstack.sandbox.jsonplaceholder.server_variants import VARIANTS, Mode
from devstack.sandbox.jsonplaceholder.store import COLLECTIONS, Store
from devstack.sandbox.standin import ServerInThread


class StandIn(ServerInThread):
    """A stand-in of JSONPlaceholder: `with StandIn() as server: server.url`.

    `mode` is "persistent" (json-server), "amnesiac" (npm jsonplaceholder) or "public"
    (jsonplaceholder.typicode.com). With a `folder` it keeps its data over restarts. With `users` there are
    that many users, and json-server's habit shows: any DELETE also removes every post of any other user.
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
        super().__init__(host, port, Api(self._store, VARIANTS[mode]))

    def close(self) -> None:
        """What was written in a folder stays."""
        self._store.close()

    def renumber(self, by: int = 1_000) -> None:
        """Gives every object another id, so much larger; references follow."""
        for collection in COLLECTIONS:
            self._store.renumber(collection, by)

    def rows(self, collection: str) -> list[dict[str, object]]:
        """All objects of a collection, in order."""
        return [orjson.loads(text) for page in self._store.documents(collection) for text in page]
