"""How often what goes wrong, as it was seen at the real one."""

import random
import threading
from dataclasses import dataclass

from devstack.sandbox.faults import Fault

STATUSES = (400, 401, 403, 404, 405)


@dataclass(frozen=True)
class FaultProfile:
    """Shares of all requests, from 0 to 1; `hang` is how long a hanging one takes, in seconds."""

    refused: float = 0.0
    paid: float = 0.0
    empty: float = 0.0
    hanging: float = 0.0
    hang: float = 30.0
    older: float = 0.0
    cut: float = 0.0


NO_FAULTS = FaultProfile()
OBSERVED = FaultProfile(refused=0.09, paid=0.01, empty=0.01, hanging=0.005)


class FaultSampler:
    """Draws what meets each request. Safe to use from several threads; the same run fails the same way."""

    def __init__(self, profile: FaultProfile, seed: int = 7) -> None:
        self.profile = profile
        self._lock = threading.Lock()
        self._random = random.Random(seed)  # noqa: S311 - the same run fails the same way

    def fault(self) -> Fault:
        """What goes wrong with the next request."""
        profile = self.profile
        kinds = {
            "refused": profile.refused,
            "paid": profile.paid,
            "empty": profile.empty,
            "hanging": profile.hanging,
            "cut": profile.cut,
        }
        with self._lock:
            place, status = self._random.random(), self._random.choice(STATUSES)
        for kind, share in kinds.items():
            if place < share:
                return self._fault(kind, status)
            place -= share
        return Fault()

    def is_older(self) -> bool:
        """Whether the next answer is of the older schema."""
        with self._lock:
            return self._random.random() < self.profile.older

    def _fault(self, kind: str, status: int) -> Fault:
        match kind:
            case "refused":
                return Fault(status=status)
            case "paid":
                return Fault(status=402)
            case "empty":
                return Fault(empty=True)
            case "cut":
                return Fault(cut=True)
        return Fault(latency=self.profile.hang)
