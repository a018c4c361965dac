"""The newest changes of the log, live."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from django.utils.http import urlencode

from lockstep.changes.models import LoggedChange
from lockstep.console.links import address
from lockstep.console.reads.actors import Actor, read_actors
from lockstep.console.reads.changes import ChangeRow, Filters, Newest, actor_named, newest_changes
from lockstep.console.views.base import ConsoleView
from lockstep.console.views.objects import request_address
from lockstep.console.views.parameters import number_parameter, text_parameter
from lockstep.delivery.subscriptions import logged_models

PER_PAGE = 50
FILTERS = tuple(field.name for field in fields(Filters))


@dataclass(frozen=True, slots=True)
class Line:
    """A change with its actor, and the addresses of changes by the same one and of the same request."""

    change: ChangeRow
    actor: Actor | None
    by_address: str
    request_address: str


class ChangesView(ConsoleView):
    """The newest changes, with filters. A page looks at 10,000 changes at most."""

    template_name = "lockstep/console/changes.html"
    title = "Live changes"
    section = "changes"
    is_live = True

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - as the base class has it
        """The newest changes before `?before=` that match the other parameters."""
        given = {name: text_parameter(self.request, name) for name in FILTERS}
        actor = given["actor"]
        meant = actor_named(actor) if actor else None
        unknown = actor if actor and meant is None else ""
        before = number_parameter(self.request, "before")
        filters = Filters(**{**given, "actor": meant})
        page = Newest([]) if unknown else newest_changes(filters, limit=PER_PAGE, before=before)
        return {
            "given": given,
            "models": logged_models(),
            "kinds": LoggedChange.Kind.values,
            "unknown_actor": unknown,
            "page": page,
            "lines": self._lines(page.changes),
            "has_filter": filters.has_any or bool(unknown),
            "is_first": before is None,
            "newest_address": _address(given),
            "older_address": _address({**given, "before": page.older}) if page.older else "",
        }

    def _lines(self, changes: list[ChangeRow]) -> list[Line]:
        actors = read_actors(change.actor for change in changes)
        return [
            Line(
                change,
                actors.get(change.actor or ""),
                _address({"actor": change.actor}) if change.actor else "",
                request_address(change.trace, change.seq),
            )
            for change in changes
        ]


def _address(parameters: Mapping[str, str | int | None]) -> str:
    """The address of this page with those parameters that have a value."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{address('changes')}?{urlencode(given)}" if given else address("changes")
