"""Reading the change log: all of it for staff, as a list or live, and the history of one object for who may see it."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.exceptions import ValidationError
from rest_framework.fields import DateTimeField
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request

from lockstep.api.answers import Answer
from lockstep.api.errors import NotFound
from lockstep.api.json import JSONRenderer
from lockstep.api.paging import Ordering, ordering_of, page
from lockstep.api.requests import actor_of
from lockstep.api.schema import CURSOR_PAGE, ordering
from lockstep.api.serializers import page_of
from lockstep.api.views import View
from lockstep.changes.capture import models_to_capture
from lockstep.changes.models import Change
from lockstep.changes.readers import event_types, may_read, names
from lockstep.delivery.subscriptions import Change as DeliveredChange
from lockstep.feed.serializers import (
    ChangeSerializer,
    FollowingSerializer,
    HistoryEntrySerializer,
    NarrowingSerializer,
)
from lockstep.feed.shapes import differences, shown
from lockstep.feed.stream import event_stream

PLACE = OpenApiParameter(
    "Last-Event-ID", str, OpenApiParameter.HEADER, description="From where a stream goes on; from now without it."
)
ORDERINGS: dict[str, Ordering] = {"-seq": ("-seq",), "seq": ("seq",)}
F = TypeVar("F", bound=Callable[..., Answer])
EQUAL = ("model", "object_id", "kind", "actor", "origin", "trace")


class EventStreamRenderer(JSONRenderer):
    """Lets a client ask for text/event-stream; errors are problem+json all the same."""

    media_type = "text/event-stream"
    format = "event-stream"


class ChangeListView(View):
    """The change log, for staff: newest first, or live.

    With `Accept: text/event-stream` the answer is a stream of server-sent events: what is committed from now on, or
    after `Last-Event-ID`. The list is narrowed by all parameters but `events`, and the stream by that one.
    """

    permission_classes = (IsAdminUser,)
    renderer_classes = (JSONRenderer, EventStreamRenderer)

    @extend_schema(
        operation_id="list_changes",
        parameters=[NarrowingSerializer, FollowingSerializer, PLACE, ordering(ORDERINGS), *CURSOR_PAGE],
        responses={(200, "application/json"): page_of(ChangeSerializer), (200, "text/event-stream"): str, 410: None},
    )
    def get(self, request: Request) -> HttpResponseBase:
        if isinstance(request.accepted_renderer, EventStreamRenderer):
            return _live(request)
        return page(request, _narrowed(request), order=ordering_of(request, ORDERINGS), shape=shown)


def _history_schema(name: str) -> Callable[[F], F]:
    return extend_schema(operation_id=name, parameters=CURSOR_PAGE, responses=page_of(HistoryEntrySerializer))


class HistoryView(View):
    """Who changed an object, when, and what it was before and after; newest first."""

    @_history_schema("list_history")
    def get(self, request: Request, model: str, object_id: str) -> Answer:
        rows = Change.objects.filter(model=model, object_id=_key(model, object_id))
        if not _visible(request, rows[:1]):
            raise NotFound("There is no such object, or nothing of its history that you may see.")
        people = _People()
        return page(
            request,
            rows,
            order=ORDERINGS["-seq"],
            shape=lambda row: _entry(row, people, seen=bool(_visible(request, [row]))),
        )


class NamedHistoryView(HistoryView):
    """The history of an object whose model the route names."""

    model: str

    def get(self, request: Request, object_id: str) -> Answer:  # type: ignore[override]  # the route names the model
        return super().get(request, self.model, object_id)


@extend_schema_view(get=_history_schema("list_product_history"))
class ProductHistoryView(NamedHistoryView):
    """Who changed a product, when, and what it was before and after; newest first."""

    model = "shop.product"


@extend_schema_view(get=_history_schema("list_defect_history"))
class DefectHistoryView(NamedHistoryView):
    """Who changed a defect, when, and what it was before and after; newest first."""

    model = "defects.defect"


class _People:
    """Names of those who act, each asked for once."""

    def __init__(self) -> None:
        self._names: dict[str, str | None] = {}

    def name(self, actor: str | None) -> str | None:
        """The username behind "user:<id>"."""
        kind, _, key = (actor or "").partition(":")
        if kind != "user":
            return None
        if key not in self._names:
            self._names[key] = get_user_model().objects.filter(pk=key).values_list("username", flat=True).first()
        return self._names[key]


def _entry(change: Change, people: _People, *, seen: bool) -> dict[str, Any]:
    entry = {
        "seq": change.seq,
        "at": change.at,
        "kind": change.kind,
        "actor": change.actor,
        "by": people.name(change.actor),
        "origin": change.origin,
        "trace": change.trace,
    }
    return entry | ({"changed": differences(change), "before": change.before, "after": change.after} if seen else {})


def _live(request: Request) -> HttpResponseBase:
    patterns = [text for text in request.query_params.get("events", "").split(",") if text] or ["*"]
    known = set().union(*(names(event_type) for event_type in event_types(is_staff=True)))
    if unknown := [pattern for pattern in patterns if pattern not in known]:
        raise ValidationError(
            {"events": [f"Nothing is called {unknown[0]!r}; posts.post.* is a pattern, and * is all."]}
        )
    place = request.headers.get("Last-Event-ID") or request.query_params.get("last_event_id", "")
    wanted = frozenset(patterns)

    def matches(change: DeliveredChange) -> bool:
        return bool(wanted & names(f"{change.model}.{change.kind}"))

    return event_stream(place, matches, actor_of(request))


def _narrowed(request: Request) -> QuerySet[Change]:
    rows = Change.objects.all()
    for name in EQUAL:
        if value := request.query_params.get(name):
            rows = rows.filter(**{name: _text(name, value)})
    for name, comparison in (("since", "at__gte"), ("until", "at__lt")):
        if value := request.query_params.get(name):
            rows = rows.filter(**{comparison: DateTimeField().run_validation(value)})
    return rows


def _visible(request: Request, rows: Sequence[Change] | QuerySet[Change]) -> list[Change]:
    user_id, is_staff = str(request.user.pk), bool(getattr(request.user, "is_staff", False))
    return [row for row in rows if may_read(row.model, row.before, row.after, user_id=user_id, is_staff=is_staff)]


def _key(label: str, given: str) -> str:
    """The id by which the log knows an object that is called by its id or its number."""
    if not given.isdigit():
        try:
            return str(UUID(given))
        except ValueError as error:
            raise NotFound("There is no such object.") from error
    model = next((model for model in models_to_capture() if model._meta.label_lower == label), None)
    if model is None or not any(field.name == "number" for field in model._meta.concrete_fields):
        raise NotFound("There is no such object.")
    key = model._default_manager.filter(number=given).values_list("pk", flat=True).first()
    if key is None:
        raise NotFound("There is no such object.")
    return str(key)


def _text(name: str, value: str) -> str:
    if "\0" in value:
        raise ValidationError({name: ["NUL is no part of a text."]})
    return value
