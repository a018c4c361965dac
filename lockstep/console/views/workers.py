"""Workers, periodic work, and what operators did."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.apps import apps
from django.http import Http404
from django.utils.http import urlencode

from lockstep.console.links import address
from lockstep.console.reads.actors import read_actors
from lockstep.console.reads.workers import read_operations, read_periodic, read_workers
from lockstep.console.views.base import ConsoleView
from lockstep.console.views.parameters import text_parameter

PAGE = 50
WHO = {"operators": False, "owners": True, "all": None}


class WorkersView(ConsoleView):
    """Who delivers, and what is done beside it."""

    template_name = "lockstep/console/workers.html"
    title = "Workers and periodic work"
    section = "workers"
    is_live = True

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - as the base class has it
        return {"workers": read_workers(), "periodic": read_periodic()}


class OperationsView(ConsoleView):
    """What operators did here, the latest first; on request what owners of webhook endpoints did on their pages.

    Of one subscription it shows what both did: its own index finds them, and none bury the others.
    """

    template_name = "lockstep/console/operations.html"
    title = "Operations"
    section = "operations"

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - as the base class has it
        query = self.request.GET
        try:
            before = UUID(query["before"]) if "before" in query else None
        except ValueError as error:
            raise Http404("There is no such page.") from error
        subscription = text_parameter(self.request, "subscription")
        who = "all" if subscription else query.get("who", "operators")
        if who not in WHO:
            raise Http404("There is no such filter.")
        rows = read_operations(before=before, subscription=subscription, by_owner=WHO[who], limit=PAGE + 1)
        actors = read_actors(row.actor for row in rows)
        shown = rows[:PAGE]
        return {
            "operations": [(row, actors.get(row.actor), _in_words(row.parameters)) for row in shown],
            "subscription": subscription,
            "who": who,
            "choices": [] if subscription or not apps.is_installed("lockstep.webhooks") else list(WHO),
            "filter": urlencode({"subscription": subscription} if subscription else {"who": who}),
            "older": shown[-1].id if len(rows) > PAGE else None,
            "newest_address": address("operations"),
            "is_first": before is None,
        }


def _in_words(parameters: Mapping[str, object]) -> str:
    """The parameters of an operation that have a value. Its subscription has a column of its own."""
    named = [(name.replace("_", " "), value) for name, value in parameters.items() if name != "subscription"]
    return "; ".join(
        name if value is True else f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in named
        if value not in (None, "", False, [])
    )
