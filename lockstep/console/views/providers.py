"""Providers: whether they answer, how fast, and how fresh what we have of them is."""

from typing import Any

from lockstep.console.reads.providers import read_providers
from lockstep.console.views.base import ConsoleView
from lockstep.console.views.overview import shown


class ProvidersView(ConsoleView):
    """All remote systems that the project has declared."""

    template_name = "lockstep/console/providers.html"
    title = "Providers"
    section = "providers"
    is_live = True

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - as the base class has it
        return {"providers": read_providers(shown.get().overview.lines)}
