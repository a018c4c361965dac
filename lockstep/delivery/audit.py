"""The audit: proof that the rows, the change log and whatever is kept in step with them say the same.

Rows and log are compared here, object by object and in one moment. Who keeps something else in step (a mirror, say)
registers a check of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from django.db import connection, models

from lockstep.changes.capture import captured_columns, column_of, document, models_to_capture, quote, seen
from lockstep.changes.commands import counted
from lockstep.delivery import operations
from lockstep.delivery.database import SQL


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison: `differing` names what differs; `digests` of both sides are equal where nothing does.

    Where one side could not be read nothing is known: `not_compared` says why.
    """

    what: str
    objects: int
    differing: list[str] = field(default_factory=list)
    digests: tuple[str, str] | None = None
    remark: str = ""
    not_compared: str = ""


Check = Callable[[], Finding]

_checks: list[Check] = []


def register_check(check: Check) -> None:
    """Makes a comparison part of every audit."""
    _checks.append(check)


def audit(*, outside: bool = True) -> Iterator[Finding]:
    """Each comparison as it is done: rows and log of every model, log and subscriptions, and what was registered.

    Those may ask other people's systems; `outside` says whether to.
    """
    for model in models_to_capture():
        yield _rows_and_log(model)
    for status in operations.status():
        yield _log_and_subscription(status)
    if outside:
        for check in _checks:
            yield check()


def _rows_and_log(model: type[models.Model]) -> Finding:
    names = {
        "{label}": model._meta.label_lower,
        "{table}": quote(model._meta.db_table),
        "{key}": f"t.{quote(column_of(model, 'pk'))}",
        "{document}": document(model, captured_columns(model), "t"),
        "{seen}": seen(model, "t"),
    }
    statement = SQL["audit"]["compare"]
    for name, value in names.items():
        statement = statement.replace(name, value)
    with connection.cursor() as cursor:
        cursor.execute(statement)
        objects, older, of_rows, of_log, differing = cursor.fetchone()
    remark = f"{counted(older, 'object')} older than the log" if older else ""
    return Finding(f"{model._meta.label_lower}: rows = log", objects, differing, (_hex(of_rows), _hex(of_log)), remark)


def _log_and_subscription(status: operations.Status) -> Finding:
    """What is on its way is no difference; what was given up is one, until somebody settles it."""
    under_way = status.behind + status.waiting
    remark = f"{counted(under_way, 'change')} on the way" if under_way and status.state != "disabled" else ""
    letters = []
    if status.dead:
        letters = [f"{counted(status.dead, 'dead letter')}: see manage.py delivery letters {status.name}"]
    return Finding(f"log = {status.name}", status.objects, letters, remark=remark)


def _hex(total: str) -> str:
    return f"{int(total) % 2**64:016x}"
