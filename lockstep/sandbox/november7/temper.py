"""How often what goes wrong, as it was seen at the real one."""

import random
import threading
from dataclasses import dataclass

from lockstep.sandbox.faults import Fault

STATUSES = (400, 401, 403, 404, 405)


@dataclass(frozen=True)
class Temper:
    """Shares of all requests, from 0 to 1; `hang` is how long a hanging one takes, in seconds."""

    refused: float = 0.0
    paid: float = 0.0
    empty: float = 0.0
    hanging: float = 0.0
    hang: float = 30.0
    older: float = 0.0
    cut: float = 0.0


CALM = Temper()
OBSERVED = Temper(refused=0.09, paid=0.01, empty=0.01, hanging=0.005)


class Moods:
    """Draws what meets each request. Safe to use from several threads; the same run fails the same way."""

    def __init__(self, temper: Temper, seed: int = 7) -> None:
        self.temper = temper
        self._lock = threading.Lock()
        self._random = random.Random(seed)  # noqa: S311 - the same run fails the same way

    def fault(self) -> Fault:
        """What goes wrong with the next request."""
        temper = self.temper
        kinds = {
            "refused": temper.refused,
            "paid": temper.paid,
            "empty": temper.empty,
            "hanging": temper.hanging,
            "cut": temper.cut,
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
            return self._random.random() < self.temper.older

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
        return Fault(latency=self.temper.hang)
