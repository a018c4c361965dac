"""The counter's stand-in for tests: a server in a thread of this process."""

from pathlib import Path

from devstack.sandbox.counter.api import Api
from devstack.sandbox.counter.tallies import Tallies
from devstack.sandbox.standin import ServerInThread


class StandIn(ServerInThread):
    """A counter: `with StandIn() as counter: counter.url`. With a `folder` it keeps what it counted over restarts."""

    def __init__(self, *, folder: Path | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self._tallies = Tallies(folder)
        super().__init__(host, port, Api(self._tallies))

    def close(self) -> None:
        """What was written in a folder stays."""
        self._tallies.close()

    def shown(self) -> dict[str, object]:
        """What it would answer, without a request."""
        return self._tallies.shown()
