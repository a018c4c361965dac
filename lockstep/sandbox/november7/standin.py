"""The stand-in of November 7 for tests: a server in a thread of this process."""

from typing import Any

from lockstep.sandbox.november7.api import Api
from lockstep.sandbox.november7.temper import OBSERVED, Moods, Temper
from lockstep.sandbox.standin import ServerInThread


class StandIn(ServerInThread):
    """Somebody else's catalogue: `with StandIn() as provider: provider.url`. It is as moody as the real one is."""

    def __init__(self, *, temper: Temper = OBSERVED, host: str = "127.0.0.1", port: int = 0) -> None:
        self._api = Api(Moods(temper))
        super().__init__(host, port, self._api)

    @property
    def movies(self) -> list[dict[str, Any]]:
        """What it has; change it as you like."""
        return self._api.movies

    def temper(self, temper: Temper) -> None:
        """Another one from now on."""
        self._api.moods.temper = temper
