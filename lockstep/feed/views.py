"""Views of the change log: a list and a stream for staff, and the history of an object for users who may see it."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError as ValidationFailed
from django.db.models import UUIDField
from django.http import HttpResponse, HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request

from lockstep.changes.capture import captured_models
from lockstep.changes.models import LoggedChange
from lockstep.changes.readers import Part, known_patterns, matching_patterns, may_read_object, readable_part
from lockstep.delivery.subscriptions import Change, logged_models
from lockstep.feed.serializers import ChangeSerializer, HistoryEntrySerializer
from lockstep.feed.shapes import differences, serialize_change
from lockstep.feed.stream import EVENT_STREAM, STREAM_HEADERS, event_stream
from lockstep.rest.actors import actor_of, actor_parameter, key_of
from lockstep.rest.errors import NotFound
from lockstep.rest.filters import Filters
from lockstep.rest.json import JSONRenderer
from lockstep.rest.paging import Ordering, ordering_of, page
from lockstep.rest.parameters import QueryParameter, choice, moment, read_text, read_uuid, text
from lockstep.rest.permissions import Staff
from lockstep.rest.requests import ApiRequest
from lockstep.rest.responses import ApiResponse
from lockstep.rest.schema import CURSOR_PAGE, ordering
from lockstep.rest.serializers import page_of
from lockstep.rest.server.environ import EXCHANGE
from lockstep.rest.views import View

__all__ = ["ChangeListView", "HistoryView", "history_of"]

MAX_PATTERNS = 2_000  # characters
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID", str, OpenApiParameter.HEADER, description="Where the stream continues; without it, from now on."
)
ORDERINGS: dict[str, Ordering] = {"-seq": ("-seq",), "seq": ("seq",)}
F = TypeVar("F", bound=Callable[..., ApiResponse])


def _object_id_parameter() -> QueryParameter:
    """The filter by object. Where the key of each captured model is a UUID, it must be one."""
    name, description = "object_id", "Only changes of this object."
    if not all(isinstance(model._meta.pk, UUIDField) for model in captured_models()):
        return text(name, description)
    return QueryParameter(name, {"type": "string", "format": "uuid"}, lambda key: str(read_uuid(key)), description)


FILTERS = Filters(
    (choice("model", "Only changes of this model.", logged_models()), "model"),
    (_object_id_parameter(), "object_id"),
    (choice("kind", "Only changes of this kind.", LoggedChange.Kind.values), "kind"),
    (actor_parameter("actor", "Only changes by this actor: `user:<id>`."), "actor"),
    (text("origin", "Only changes imported from this provider."), "origin"),
    (text("trace", "Only changes of this request (its X-Request-ID) or command."), "trace"),
    (moment("since", "Only changes at this time or later."), "at__gte"),
    (moment("until", "Only changes before this time.", least="since"), "at__lt"),
)


def read_patterns(value: str) -> frozenset[str]:
    """Parses comma-separated patterns, each of which must match an event type. Raises ValueError."""
    patterns = read_text(value, MAX_PATTERNS).split(",")
    known = known_patterns(is_staff=True)
    if unknown := [pattern for pattern in patterns if pattern not in known]:
        raise ValueError(
            f"No event matches {unknown[0][:100]!r}. Patterns are posts.post.created, posts.post.*, posts.* or *."
        )
    return frozenset(patterns)


FOLLOWING = [
    QueryParameter(
        "events",
        {"type": "string", "minLength": 1},
        read_patterns,
        "Only these events of the stream: patterns such as `posts.post.*`, separated by commas.",
    ),
    text("last_event_id", "For clients that cannot send the header `Last-Event-ID`.", max_length=1_000),
]
ONLY_LIVE = frozenset(parameter.name for parameter in FOLLOWING)
EVERYTHING = frozenset("*")


class EventStreamRenderer(JSONRenderer):
    """A renderer for content negotiation; errors are problem+json all the same."""

    media_type = EVENT_STREAM
    format = "event-stream"


class ChangeListView(View):
    """Lists or streams the change log. For staff.

    With `Accept: text/event-stream` the response is a stream of server-sent events: changes from now on, or after
    `Last-Event-ID`. The stream takes `events` and `last_event_id`, the list all other parameters.
    """

    permission_classes = (Staff,)
    renderer_classes = (JSONRenderer, EventStreamRenderer)

    @extend_schema(
        operation_id="list_changes",
        parameters=[*FILTERS.parameters, *FOLLOWING, LAST_EVENT_ID, ordering(ORDERINGS), *CURSOR_PAGE],
        responses={(200, "application/json"): page_of(ChangeSerializer), (200, EVENT_STREAM): str, 410: None},
    )
    def get(self, request: ApiRequest) -> HttpResponseBase:
        is_live = isinstance(request.accepted_renderer, EventStreamRenderer)
        _refuse(request, (request._request.GET.keys() - ONLY_LIVE) if is_live else ONLY_LIVE, is_live=is_live)
        if is_live:
            return _live(request)
        changes = FILTERS.apply(request, LoggedChange.objects.all())
        return page(request, changes, order=ordering_of(request, ORDERINGS), shape=serialize_change)


def _history_schema(name: str) -> Callable[[F], F]:
    return extend_schema(operation_id=name, parameters=CURSOR_PAGE, responses=page_of(HistoryEntrySerializer))


class HistoryView(View):
    """Lists the changes of an object, newest first: who, when, and the values before and after."""

    permission_classes = (IsAuthenticated,)

    @_history_schema("list_object_history")
    def get(self, request: ApiRequest, model: str, object_id: str) -> ApiResponse:
        rows = LoggedChange.objects.filter(model=model, object_id=self.id_in_log(model, object_id))
        last = rows.order_by("-seq").values("kind", "before", "after").first()
        if last is None or not may_read_object(model, last, **_reader(request)):
            raise NotFound("The object does not exist, or its history is not visible to you.")
        people = _People(request)
        return page(
            request,
            rows,
            order=ORDERINGS["-seq"],
            shape=lambda row: _entry(row, people, _readable(request, row)),
        )

    def id_in_log(self, model: str, object_id: str) -> str:
        """The id in the log of the object that the URL names by its primary key. Raises NotFound."""
        captured = next((one for one in captured_models() if one._meta.label_lower == model), None)
        try:
            return str(captured._meta.pk.to_python(object_id)) if captured and captured._meta.pk else object_id
        except ValidationFailed as error:
            raise NotFound("There is no such object.") from error


def history_of(model: str, *, operation_id: str, summary: str, view: type[HistoryView] = HistoryView) -> Any:  # noqa: ANN401
    """The history of one model's objects, as a view for a route with an `object_id`.

    path("articles/<int:object_id>/history/", history_of("blog.article", operation_id="…", summary="Lists …."))
    """

    class NamedHistoryView(view):  # type: ignore[misc, valid-type]  # the base is a parameter
        __doc__ = summary
        name = f"{apps.get_model(model)._meta.verbose_name.capitalize()} History"  # in the response to OPTIONS

        @_history_schema(operation_id)
        def get(self, request: ApiRequest, object_id: object) -> ApiResponse:
            response: ApiResponse = super().get(request, model, str(object_id))
            return response

    return NamedHistoryView.as_view()


class _People:
    """The usernames of actors, each read once. Where they are e-mail addresses only staff reads those of others."""

    def __init__(self, request: ApiRequest) -> None:
        user = get_user_model()
        self._users = user._default_manager.values_list(user.USERNAME_FIELD, flat=True)
        if user.get_email_field_name() == user.USERNAME_FIELD and not _reader(request)["is_staff"]:
            self._users = self._users.filter(pk=request.user.pk)
        self._names: dict[object, str | None] = {}

    def name(self, actor: str | None) -> str | None:
        """The username of the actor "user:<id>"."""
        key = key_of(actor)
        if key is None:
            return None
        if key not in self._names:
            self._names[key] = self._users.filter(pk=key).first()
        return self._names[key]


def _entry(change: LoggedChange, people: _People, part: Part | None) -> dict[str, Any]:
    entry = {
        "seq": change.seq,
        "at": change.at,
        "kind": part.kind if part else change.kind,
        "actor": change.actor,
        "by": people.name(change.actor),
        "origin": change.origin,
        "trace": change.trace,
    }
    if part is None:
        return entry
    nothing = {name: None for name in ("before", "after") if getattr(part, name) is None}
    return {**entry, "changed": differences(part), **nothing}


def _refuse(request: ApiRequest, names: Iterable[str], *, is_live: bool) -> None:
    """Raises ValidationError if the request has one of these parameters, which are for the other representation."""
    remark = "Only the list has this parameter, not the stream." if is_live else "Only the stream has this parameter."
    if sent := [name for name in names if name in request._request.GET]:
        raise ValidationError({name: [remark] for name in sent})


def _live(request: ApiRequest) -> HttpResponseBase:
    if request.method == "HEAD":
        return HttpResponse(content_type=EVENT_STREAM, headers=STREAM_HEADERS)  # takes no slot
    wanted = request.parameters.get("events", EVERYTHING)
    last_event_id = request.headers.get("Last-Event-ID") or request.parameters.get("last_event_id", "")

    def matches(change: Change) -> bool:
        return bool(wanted & matching_patterns(f"{change.model}.{change.kind}"))

    exchange = request._request.META.get(EXCHANGE)
    return event_stream(
        last_event_id, matches, actor_of(request), lambda: exchange is not None and (exchange.gone or exchange.ending)
    )


def _readable(request: Request, row: LoggedChange) -> Part | None:
    return readable_part(row.model, row.kind, row.before, row.after, **_reader(request))  # type: ignore[arg-type]  # a kind


def _reader(request: Request) -> dict[str, Any]:
    return {"user_id": str(request.user.pk), "is_staff": bool(getattr(request.user, "is_staff", False))}
