"""The life of one object: its changes, where each of them is, and what other systems have of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.utils import quote
from django.db import models
from django.http import Http404, HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from lockstep.console.links import address
from lockstep.console.reads.actors import Actor, read_actors
from lockstep.console.reads.changes import ChangeRow
from lockstep.console.reads.deliveries import Delivery, deliveries
from lockstep.console.reads.objects import ChangePage, changes_of, labels_of, model_of, row_of
from lockstep.console.views.base import Breadcrumb, ConsoleView
from lockstep.console.views.parameters import number_parameter, text_or_404
from lockstep.console.words import plain
from lockstep.delivery.remote_copies import remote_copies

PER_PAGE = 20
MAX_NAME = 80  # characters of the object's name
BESIDE = 1_000  # changes after one, among which those of the same request are looked for


@dataclass(frozen=True, slots=True)
class Entry:
    """A change with its actor, its deliveries, and the address of the changes of the same request."""

    change: ChangeRow
    actor: Actor | None
    deliveries: list[Delivery]
    request_address: str


class ObjectView(ConsoleView):
    """The life of one object, newest first."""

    template_name = "lockstep/console/object.html"
    title = "Object"
    section = "changes"
    is_live = True

    def context(self, **kwargs: Any) -> dict[str, object]:  # noqa: ANN401 - as the base class has it
        """The page of changes before `?before=`, and the object itself."""
        model, object_id = text_or_404(kwargs["model"]), text_or_404(kwargs["object_id"])
        before = number_parameter(self.request, "before")
        kind = model_of(model)
        row = row_of(kind, object_id) if kind else None
        page = changes_of(labels_of(model), object_id, limit=PER_PAGE, before=before)
        if not page.changes and row is None and before is None:
            raise Http404(f"There is no {plain(model)} {plain(object_id)}, and no change of it in the log.")
        self.model, self.name = model, _name_of(row, object_id)
        return {
            "model": model,
            "object_id": object_id,
            "entries": self._entries(page),
            "copies": remote_copies(model, object_id) if before is None else [],
            "is_first": before is None,
            "newest_address": address("object", model, object_id),
            "older_address": f"{address('object', model, object_id)}?before={page.older}" if page.older else "",
            "admin_address": admin_address(self.request, kind, object_id) if kind and row else "",
            "is_gone": row is None,
        }

    def heading(self) -> str:
        """The object by its model and name."""
        return plain(f"{self.model} {self.name}")

    def breadcrumbs(self) -> Sequence[Breadcrumb]:
        """By the changes of its model."""
        changes = address("changes")
        return [("Live changes", changes), (self.model, f"{changes}?{urlencode({'model': self.model})}")]

    def _entries(self, page: ChangePage) -> list[Entry]:
        found = deliveries(page.changes)
        actors = read_actors(change.actor for change in page.changes)
        return [
            Entry(
                change,
                actors.get(change.actor or ""),
                found.get(change.seq, []),
                request_address(change.trace, change.seq),
            )
            for change in page.changes
        ]


def request_address(trace: str | None, seq: int) -> str:
    """The address of the changes of the request or command that wrote this change; "" where it is not known."""
    if not trace:
        return ""
    near = urlencode([("trace", trace), ("before", seq + BESIDE)])
    return f"{address('changes')}?{near}"


def admin_address(request: HttpRequest, model: type[models.Model], key: str) -> str:
    """The object's page in the admin; "" where the admin lacks the model, or the request's user may not see it."""
    label, name = model._meta.app_label, model._meta.model_name
    if not any(request.user.has_perm(f"{label}.{right}_{name}") for right in ("view", "change")):
        return ""
    try:
        return reverse(f"admin:{label}_{name}_change", args=[quote(key)])
    except NoReverseMatch:
        return ""


def _name_of(row: models.Model | None, object_id: str) -> str:
    """How the object calls itself, or its key."""
    name = str(row) if row is not None else object_id
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
