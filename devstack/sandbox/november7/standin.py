"""The stand-in of November 7 for tests: a server in a thread of this process."""

from devstack.sandbox.november7.api import Api
from devstack.sandbox.november7.fault_profile import OBSERVED, FaultProfile, FaultSampler
from devstack.sandbox.standin import ServerInThread


class StandIn(ServerInThread):
    """The stand-in of the catalogue: `with StandIn() as provider: provider.url`. It fails like the real one."""

    def __init__(self, *, profile: FaultProfile = OBSERVED, host: str = "127.0.0.1", port: int = 0) -> None:
        self._api = Api(FaultSampler(profile))
        super().__init__(host, port, self._api)

    @property
    def movies(self) -> list[dict[str, object]]:
        """What it has; change it as you like."""
        return self._api.movies

    def set_faults(self, profile: FaultProfile) -> None:
        """Another one from now on."""
        self._api.sampler.profile = profile
