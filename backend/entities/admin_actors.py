"""Actors by name, with links to their accounts, in lists and inlines of the admin: one query for a page."""

from collections.abc import Collection, Mapping
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html

from lockstep.console.reads.actors import Actor, read_actors


class ActorList(ChangeList):
    """A list whose rows know their actors."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.find_actors(self.result_list)

    @staticmethod
    def find_actors(rows: Collection[Any]) -> None:
        """Gives each row its actor: one query."""
        found = read_actors(row.actor for row in rows)
        for row in rows:
            row.actor_found = found.get(row.actor or "")


class ActorColumnAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # it takes none at run time
    """A mixin for rows with a column `actor`: `actor_name` shows it in their list and on the page of each."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ANN401 - the base's
        return ActorList

    @admin.display(description="By")
    def actor_name(self, row: models.Model) -> str:
        """The actor by name."""
        if not hasattr(row, "actor_found"):  # on its own page
            ActorList.find_actors([row])
        return by_name(getattr(row, "actor_found", None))


class ActorColumnInline(admin.TabularInline):  # type: ignore[type-arg]
    """A mixin for inlines of rows with a column `actor`: `actor_name` shows it. It lasts for one page of one parent."""

    _found: Mapping[str, Actor] | None = None

    @admin.display(description="By")
    def actor_name(self, row: Any) -> str:  # noqa: ANN401 - any row of the inline
        """The actor by name."""
        if self._found is None:
            parent = {self.parent_column: getattr(row, self.parent_column)}
            actors = type(row)._default_manager.filter(**parent).order_by().values_list("actor", flat=True).distinct()
            self._found = read_actors(actors)
        return by_name(self._found.get(row.actor or ""))

    parent_column = ""  # such as "order_id"


def by_name(actor: Actor | None) -> str:
    """An actor's name, linked where the admin has the account."""
    if actor is None:
        return "the system"
    return format_html('<a href="{}">{}</a>', actor.address, actor.name) if actor.address else actor.name
