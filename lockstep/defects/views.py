"""Defects, below `api/v1/defects/` and at the predecessor's `/api/defects`. Views parse, call one action, respond."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from lockstep.api.answers import Answer
from lockstep.api.concurrency import answer, if_match
from lockstep.api.errors import NotFound
from lockstep.api.paging import BY_TIME, ordering_of, page
from lockstep.api.parameters import moment, text
from lockstep.api.requests import Asking, actor_of, by_key, key_parameter
from lockstep.api.schema import CHANGES_VERSION, CREATES_VERSION, DELETES_VERSION, READS_VERSION, cursor_page, ordering
from lockstep.api.serializers import page_of
from lockstep.api.views import View
from lockstep.defects import actions
from lockstep.defects.models import Defect, DefectQuerySet
from lockstep.defects.serializers import DefectSerializer, shown_defect

PAGE = 200  # rows of a page that nobody asked to be shorter: the predecessor's
NARROWING = [
    text(
        "search",
        "Only defects whose comment contains this text, ignoring case and spelling; all when empty.",
        may_be_empty=True,
    ),
    key_parameter("user", "Only defects of this user: an id or a number."),
    moment("since", "Only defects created at this time or later."),
    moment("until", "Only defects created before this time.", least="since"),
]


class DefectListView(View):
    """Defects."""

    @extend_schema(
        operation_id="list_defects",
        parameters=[*NARROWING, ordering(BY_TIME), *cursor_page(PAGE)],
        responses=page_of(DefectSerializer),
    )
    def get(self, request: Asking) -> Answer:
        """Lists the defects of all users, newest first."""
        return page(request, _narrowed(request), order=ordering_of(request, BY_TIME), shape=shown_defect)

    @extend_schema(
        operation_id="create_defect",
        parameters=CREATES_VERSION,
        request=DefectSerializer,
        responses={201: DefectSerializer},
    )
    def post(self, request: Request) -> Answer:
        """Reports a defect."""
        made = actions.create_defect(actor=actor_of(request), user=request.user, **_given(request))
        return _defect(request, str(made.pk), status=201)


class DefectView(View):
    """Returns a defect."""

    @extend_schema(operation_id="get_defect", parameters=READS_VERSION, responses=DefectSerializer)
    def get(self, request: Request, key: str) -> Answer:
        return _defect(request, key)

    @extend_schema(
        operation_id="replace_defect",
        parameters=CHANGES_VERSION,
        request=DefectSerializer,
        responses=DefectSerializer,
    )
    def put(self, request: Request, key: str) -> Answer:
        """Replaces the comment of a defect. Any user may; its user does not change, and the history has the author."""
        given = _given(request, shown_defect(_found(key)))
        actions.update_defect(actor=actor_of(request), key=key, match=if_match(request), **given)
        return _defect(request, key)

    @extend_schema(
        operation_id="update_defect", parameters=CHANGES_VERSION, request=DefectSerializer, responses=DefectSerializer
    )
    def patch(self, request: Request, key: str) -> Answer:
        """Partially updates a defect."""
        given = _given(request, shown_defect(_found(key)), partial=True)
        actions.update_defect(actor=actor_of(request), key=key, match=if_match(request), **given)
        return _defect(request, key)

    @extend_schema(operation_id="delete_defect", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, key: str) -> Answer:
        """Deletes a defect that you reported."""
        actions.delete_defect(actor=actor_of(request), key=key, user=request.user, match=if_match(request))
        return Answer(status=204)


def _given(request: Request, shown: Mapping[str, Any] | None = None, *, partial: bool = False) -> dict[str, str]:
    given = DefectSerializer(data=request.data, shown=shown, partial=partial)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _narrowed(request: Asking) -> DefectQuerySet:
    rows = Defect.objects.alive()
    asked = request.parameters
    if "search" in asked:
        rows = rows.saying(asked["search"])
    if "user" in asked:
        rows = rows.filter(**{f"user__{name}": value for name, value in asked["user"].items()})
    for name, comparison in (("since", "created__gte"), ("until", "created__lt")):
        if name in asked:
            rows = rows.filter(**{comparison: asked[name]})
    return rows


def _defect(request: Request, key: str, status: int = 200) -> Answer:
    defect = _found(key)
    return answer(request, shown_defect(defect), defect.version, status=status)


def _found(key: str) -> Defect:
    defect = Defect.objects.alive().filter(**by_key(key)).first()
    if defect is None:
        raise NotFound("There is no such defect.")
    return defect
