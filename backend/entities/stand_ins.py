"""The stand-ins of remote systems in development, and the faults that they are asked for over HTTP."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from lockstep.http.client import trusted

State = Literal["well", "faulty", "unreachable", "no stand-in", "not configured"]

SETTINGS = {  # by the name under which `make run` prints its lines
    "provider": "POSTS_PROVIDER_URL",
    "payments": "PAYMENTS_URL",
    "counter": "COUNTER_URL",
    "movies": "MOVIES_PROVIDER_URL",
}
CONTROL_HEADER = "Stand-In"  # of the responses of its control routes
TIMEOUT_SECONDS = 5.0
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
# Members of a fault that say when it applies; those that `describe` has words for; all others are named as they are.
CONDITIONS = {"seconds", "share", "times", "methods", "path", "after_effect"}
WORDED = {"latency", "status", "cut", "down"}


class Fault(TypedDict):
    """A fault in force, as `GET /_faults` has it; it has further members (devstack/sandbox/faults.py)."""

    latency: float
    status: int | None
    cut: bool
    down: bool
    after_effect: bool
    share: float
    times: int | None
    seconds: float | None


class NoStandIn(Exception):
    """At this address is no stand-in, or none that can do what it is asked for."""


class Unreachable(NoStandIn):
    """Nothing answers at this address."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """A remote system of the settings, which is a stand-in in development."""

    name: str
    url: str

    @classmethod
    def named(cls, name: str) -> "StandIn":
        """The system with this name in SETTINGS."""
        return cls(name, getattr(settings, SETTINGS[name]))

    def faults(self) -> list[Fault]:
        """The faults in force. Raises NoStandIn."""
        return self._ask_for_faults("GET")

    def set_fault(self, fault: Mapping[str, object]) -> list[Fault]:
        """Replaces all faults by this one; returns those in force. Raises NoStandIn."""
        self.faults()  # nothing else is sent to a system that is none
        return self._ask_for_faults("PUT", fault)

    def mend(self) -> int:
        """Removes all faults; returns how many were in force. Raises NoStandIn."""
        removed = len(self.faults())
        self._ask_for_faults("DELETE")
        return removed

    def data(self, path: str) -> object:
        """What a GET of this path returns without the faults, and uncounted; None for a 404. Raises NoStandIn."""
        answer = self._ask("GET", f"/_data{path}")
        return None if answer.status_code == 404 else answer.json()

    def state(self) -> tuple[State, list[Fault]]:
        """The state with the faults in force."""
        if not self.url:
            return "not configured", []
        try:
            faults = self.faults()
        except Unreachable:
            return "unreachable", []
        except NoStandIn:
            return "no stand-in", []
        return "faulty" if faults else "well", faults

    def _ask_for_faults(self, method: str, fault: Mapping[str, object] | None = None) -> list[Fault]:
        answer = self._ask(method, "/_faults", fault)
        if answer.is_error:
            raise NoStandIn(f"The stand-in {self.name} refuses the fault: {answer.json()['error']}.")
        faults: list[Fault] = answer.json()
        return faults

    def _ask(self, method: str, path: str, document: Mapping[str, object] | None = None) -> httpx.Response:
        """The response of a control route. Raises NoStandIn."""
        variable = SETTINGS[self.name]
        if not self.url:
            raise NoStandIn(f"{variable} is empty: there is no {self.name}.")
        try:
            # Not through a company's proxy, which the environment may name.
            with httpx.Client(trust_env=False, verify=trusted(), timeout=TIMEOUT_SECONDS) as client:
                answer = client.request(method, f"{self.url.rstrip('/')}{path}", json=document)
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(
                f"Nothing answers at {self.url}, which is {variable} ({reason}). `make run` starts the stand-ins."
            ) from error
        if CONTROL_HEADER not in answer.headers:
            raise NoStandIn(
                f"{variable} is {self.url}, which is no stand-in: only stand-ins take faults. Without {variable} "
                "`make run` starts one."
            )
        return answer


def local_addresses() -> dict[str, str]:
    """The pages of the systems on this machine, by name: a system elsewhere is no stand-in of `make run`."""
    urls = {name: urlsplit(getattr(settings, variable)) for name, variable in SETTINGS.items()}
    return {name: f"{url.scheme}://{url.netloc}/" for name, url in urls.items() if url.hostname in LOCAL_HOSTS}


def describe(fault: Fault) -> str:
    """What a fault does, and for how long still: "answers 503 to 50 % of the requests, for 12 s"."""
    text = " and ".join(_effects(fault))
    if fault["share"] < 1:
        text += f" to {100 * fault['share']:g} % of the requests"
    if fault["times"] is not None:
        text += ", once more" if fault["times"] == 1 else f", {fault['times']:,} times more"
    if fault["seconds"] is not None:
        text += f", for {fault['seconds']:.0f} s"
    return text


def _effects(fault: Fault) -> Iterator[str]:
    if fault["latency"]:
        yield f"waits {fault['latency']:g} s"
    if fault["status"]:
        yield f"answers {fault['status']}"
    if fault["cut"]:
        yield "loses the answers" if fault["after_effect"] else "cuts the connections"
    if fault["down"]:
        yield "ends every connection without an answer"
    for name, value in fault.items():
        if name not in CONDITIONS | WORDED and value not in (None, False):
            yield f"{name}={value}"
