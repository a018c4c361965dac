"""The audit: proof that the rows, the change log and registered mirrors agree.

Rows and log are compared here, object by object in one snapshot. A mirror registers a check of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lockstep.changes.capture import Capture, captures
from lockstep.changes.columns import compared
from lockstep.changes.commands import counted
from lockstep.conf import log_connection
from lockstep.delivery import operations
from lockstep.delivery.reports import Status
from lockstep.sql import statements

__all__ = ["Finding", "register_check"]

SQL = statements(__file__, "audit")


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison: `differing` names the objects that differ; without differences both `digests` are equal.

    `not_compared` is why one side could not be read, `remedy` the command that shows how to mend the differences.
    `model` is that of which `differing` has the keys, `subscription` the one that is compared; "" for none.
    """

    what: str
    objects: int
    differing: list[str] = field(default_factory=list)
    digests: tuple[str, str] | None = None
    remark: str = ""
    not_compared: str = ""
    remedy: str = ""
    model: str = ""
    subscription: str = ""


Check = Callable[[], Finding]

_checks: list[Check] = []


def register_check(check: Check) -> None:
    """Adds a comparison to every audit."""
    _checks.append(check)


def audit(*, outside: bool = True) -> Iterator[Finding]:
    """Yields each comparison: rows and log of every model, log and subscriptions, and the registered checks.

    Registered checks may call other systems; `outside=False` skips them.
    """
    for capture in captures():
        yield rows_and_log(capture)
    for status in operations.status():
        yield _log_and_subscription(status)
    if outside:
        for check in _checks:
            yield check()


def rows_and_log(capture: Capture) -> Finding:
    """Compares the rows of one model with the log."""
    with log_connection().cursor() as cursor:
        cursor.execute(SQL["compare"].with_parts(**compared(capture)))
        objects, older, of_rows, of_log, differing = cursor.fetchone()
    remark = f"{counted(older, 'object')} older than the log" if older else ""
    digests, remedy = (_hex(of_rows), _hex(of_log)), f"manage.py lockstep resync {capture.label} --plan"
    return Finding(
        f"{capture.label}: rows = log", objects, differing, digests, remark,
        remedy=remedy if differing else "", model=capture.label,
    )  # fmt: skip


def _log_and_subscription(status: Status) -> Finding:
    """Pending changes are no difference; open dead letters are."""
    under_way = status.behind + status.waiting
    remark = f"{counted(under_way, 'change')} on the way" if under_way and status.state != "disabled" else ""
    letters, remedy = [], ""
    if status.dead:
        remedy = f"manage.py lockstep dead-letters {status.name}"
        letters = [f"{counted(status.dead, 'dead letter')}: see {remedy}"]
    what = f"log = {status.name}"
    return Finding(what, status.objects, letters, remark=remark, remedy=remedy, subscription=status.name)


def _hex(total: str) -> str:
    return f"{int(total) % 2**64:016x}"
