"""Faults on demand: what shall go wrong, how often, and with which requests."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class BadFault(ValueError):
    """This is not a fault."""


@dataclass
class Fault:
    """One kind of trouble. What is not set does not happen; without `times` it lasts until it is removed.

    A failing write has no effect unless `after_effect` says that only its answer is lost.
    """

    latency: float = 0.0
    """Seconds before the answer; before the effect too, unless `after_effect`."""
    status: int | None = None
    """Answered in place of the real answer."""
    retry_after: float | str | None = None
    """The Retry-After header of `status`: seconds or an HTTP date."""
    cut: bool = False
    """The connection ends in the middle of a read's body, or before a write's answer."""
    down: bool = False
    """The connection ends before any answer, whatever was asked."""
    garbage: bool = False
    """A 200 whose body is not JSON."""
    empty: bool = False
    """A 200 whose body is nothing."""
    body: str | None = None
    """A 200 whose body is this text."""
    ignored: bool = False
    """A write is answered as if it had been done, and is not (JSONPlaceholder only). Fails nothing."""
    twice: bool = False
    """A write is done twice, and its second answer is sent. Fails nothing."""
    held: bool = False
    """A write is taken, gets no answer, and is done when `DELETE /_held` says so."""
    hides: str | None = None
    """What a read does not see: "everything" (an empty replica), or "page", half of each list. Fails nothing."""
    seconds: float | None = None
    """How long it lasts, from when it is set."""
    pace: int | None = None
    """Bytes a second at most of a body of several pages: a slow link. Fails nothing."""
    ids_as_strings: bool = False
    """Ids and references in the answer are strings. Fails nothing."""
    after_effect: bool = False
    share: float = 1.0
    """Of the requests it could meet, from 0 to 1."""
    times: int | None = None
    """How many requests it meets before it is over."""
    methods: tuple[str, ...] = METHODS
    path: str = "/"
    """What the path must begin with."""

    @property
    def fails(self) -> bool:
        """Whether the real answer never arrives."""
        return self.status is not None or self.cut or self.down or self.garbage or self.empty or self.body is not None


class Faults:
    """The faults that are in force. Safe to use from several threads."""

    def __init__(self, seed: int = 1) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)  # noqa: S311  the same run fails the same way
        self._faults: list[Fault] = []
        self._set_at = time.monotonic()

    def set(self, faults: Iterable[Fault]) -> None:
        """Replaces them all."""
        with self._lock:
            self._faults = list(faults)
            self._set_at = time.monotonic()

    def shown(self) -> list[dict[str, object]]:
        """Them, as JSON, with the `times` and the `seconds` that are left; without those that are over."""
        with self._lock:
            return [
                asdict(fault) | {"seconds": self._seconds_left(fault)}
                for fault in self._faults
                if fault.times != 0 and self._seconds_left(fault) != 0
            ]

    def draw(self, method: str, path: str) -> Fault | None:
        """The first fault that meets this request."""
        with self._lock:
            for fault in self._faults:
                if self._meets(fault, method, path):
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def _meets(self, fault: Fault, method: str, path: str) -> bool:
        if method not in fault.methods or not path.startswith(fault.path) or fault.times == 0:
            return False
        if self._seconds_left(fault) == 0:
            return False
        return fault.share >= 1 or self._random.random() < fault.share

    def _seconds_left(self, fault: Fault) -> float | None:
        """None for a fault that lasts until it is removed."""
        if fault.seconds is None:
            return None
        return max(0.0, self._set_at + fault.seconds - time.monotonic())


def parse(document: object) -> list[Fault]:
    """Faults from JSON: an object or a list of them. Raises BadFault with what is wrong."""
    return [_parse_one(one) for one in (document if isinstance(document, list) else [document])]


def _parse_one(document: object) -> Fault:
    if not isinstance(document, Mapping):
        raise BadFault("a fault is a JSON object")
    unknown = sorted(set(document) - {each.name for each in fields(Fault)})
    if unknown:
        known = ", ".join(each.name for each in fields(Fault))
        raise BadFault(f"unknown: {', '.join(map(str, unknown))}; known are {known}")
    for name, value in document.items():
        wanted, is_valid = _WISHES[name]
        if not is_valid(value):
            raise BadFault(f"{name} must be {wanted}, not {value!r:.60}")
    methods = tuple(method.upper() for method in document.get("methods", METHODS))
    return Fault(**{**document, "methods": methods})


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and _is_number(value, low, high)


def _is_methods(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(one, str) and one.upper() in METHODS for one in value)
    )


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_WISHES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "latency": ("seconds from 0 to 600", lambda value: _is_number(value, 0, 600)),
    "status": ("a status from 200 to 599", lambda value: value is None or _is_whole(value, 200, 599)),
    "retry_after": (
        "seconds from 0 to 86400 or an HTTP date",
        lambda value: value is None or isinstance(value, str) or _is_number(value, 0, 86_400),
    ),
    "cut": ("true or false", _is_flag),
    "down": ("true or false", _is_flag),
    "empty": ("true or false", _is_flag),
    "garbage": ("true or false", _is_flag),
    "body": ("a text", lambda value: value is None or isinstance(value, str)),
    "ignored": ("true or false", _is_flag),
    "twice": ("true or false", _is_flag),
    "held": ("true or false", _is_flag),
    "hides": ("everything or page", lambda value: value in (None, "everything", "page")),
    "seconds": ("seconds from 0 to 86400", lambda value: value is None or _is_number(value, 0, 86_400)),
    "pace": ("bytes a second from 1", lambda value: value is None or _is_whole(value, 1, 1 << 40)),
    "ids_as_strings": ("true or false", _is_flag),
    "after_effect": ("true or false", _is_flag),
    "share": ("a number from 0 to 1", lambda value: _is_number(value, 0, 1)),
    "times": ("a whole number from 1", lambda value: value is None or _is_whole(value, 1, 1 << 31)),
    "methods": (f"a list out of {', '.join(METHODS)}", _is_methods),
    "path": ("a path that begins with /", lambda value: isinstance(value, str) and value.startswith("/")),
}
