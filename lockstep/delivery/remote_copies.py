"""What other systems have of an object. Apps of the engine register a function for each system; the console calls them.

register_remote_copies(copies_at(mirror))
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

__all__ = ["RemoteCopy", "register_remote_copies"]


@dataclass(frozen=True, slots=True)
class RemoteCopy:
    """What is known of the copy of one object in another system.

    `state` is a sentence, and `is_well` whether the copy is known to be what was sent. `times` are events by name.
    """

    system: str
    collection: str
    remote_id: str | None
    state: str
    is_well: bool
    times: tuple[tuple[str, datetime], ...] = ()


Reader = Callable[[str, str], Iterable[RemoteCopy]]

_readers: list[Reader] = []


def register_remote_copies(read: Reader) -> None:
    """Adds a system: `read(model, object_id)` returns its copies of an object, from our database, in one query."""
    _readers.append(read)


def remote_copies(model: str, object_id: str) -> list[RemoteCopy]:
    """The known copies of an object in all systems."""
    return [copy for read in _readers for copy in read(model, object_id)]
