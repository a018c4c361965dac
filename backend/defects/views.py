"""Views of defects, below `api/v1/defects/` and at the predecessor's `/api/defects`."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from backend.defects import actions
from backend.defects.models import Defect, DefectQuerySet
from backend.defects.serializers import DefectSerializer
from lockstep.rest.actors import actor_of
from lockstep.rest.concurrency import answer, if_match
from lockstep.rest.errors import NotFound
from lockstep.rest.filters import Filters
from lockstep.rest.paging import BY_TIME, ordering_of, page
from lockstep.rest.parameters import moment, text
from lockstep.rest.requests import ApiRequest, by_key, key_parameter
from lockstep.rest.responses import ApiResponse
from lockstep.rest.schema import CHANGES_VERSION, CREATES_VERSION, DELETES_VERSION, READS_VERSION, cursor_page, ordering
from lockstep.rest.serializers import page_of, validated
from lockstep.rest.views import View

DEFAULT_PAGE_SIZE = 200  # that of the predecessor
FILTERS = Filters(
    (
        text(
            "search",
            "Only defects whose comment contains this text, ignoring case and spelling; all when empty.",
            may_be_empty=True,
        ),
        DefectQuerySet.saying,
    ),
    (key_parameter("user", "Only defects of this user: an id or a number."), "user"),
    (moment("since", "Only defects created at this time or later."), "created__gte"),
    (moment("until", "Only defects created before this time.", least="since"), "created__lt"),
)


class DefectListView(View):
    """Defects."""

    @extend_schema(
        operation_id="list_defects",
        parameters=[*FILTERS.parameters, ordering(BY_TIME), *cursor_page(DEFAULT_PAGE_SIZE)],
        responses=page_of(DefectSerializer),
    )
    def get(self, request: ApiRequest) -> ApiResponse:
        """Lists the defects of all users, newest first."""
        defects = FILTERS.apply(request, Defect.objects.alive())
        return page(request, defects, order=ordering_of(request, BY_TIME), shape=DefectSerializer.represent)

    @extend_schema(
        operation_id="create_defect",
        parameters=CREATES_VERSION,
        request=DefectSerializer,
        responses={201: DefectSerializer},
    )
    def post(self, request: Request) -> ApiResponse:
        """Reports a defect."""
        created = actions.create_defect(
            actor=actor_of(request), user=request.user, **validated(DefectSerializer, request.data)
        )
        return _defect(request, str(created.pk), status=201)


class DefectView(View):
    """Returns a defect."""

    @extend_schema(operation_id="get_defect", parameters=READS_VERSION, responses=DefectSerializer)
    def get(self, request: Request, key: str) -> ApiResponse:
        return _defect(request, key)

    @extend_schema(
        operation_id="replace_defect",
        parameters=CHANGES_VERSION,
        request=DefectSerializer,
        responses=DefectSerializer,
    )
    def put(self, request: Request, key: str) -> ApiResponse:
        """Replaces the comment of a defect. Any user may; its reporter does not change."""
        current = DefectSerializer.represent(_found(key))
        values = validated(DefectSerializer, request.data, current=current)
        actions.update_defect(actor=actor_of(request), key=key, match=if_match(request), **values)
        return _defect(request, key)

    @extend_schema(
        operation_id="update_defect", parameters=CHANGES_VERSION, request=DefectSerializer, responses=DefectSerializer
    )
    def patch(self, request: Request, key: str) -> ApiResponse:
        """Partially updates a defect."""
        current = DefectSerializer.represent(_found(key))
        values = validated(DefectSerializer, request.data, current=current, partial=True)
        actions.update_defect(actor=actor_of(request), key=key, match=if_match(request), **values)
        return _defect(request, key)

    @extend_schema(operation_id="delete_defect", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, key: str) -> ApiResponse:
        """Deletes a defect that you reported."""
        actions.delete_defect(actor=actor_of(request), key=key, user=request.user, match=if_match(request))
        return ApiResponse(status=204)


def _defect(request: Request, key: str, status: int = 200) -> ApiResponse:
    defect = _found(key)
    return answer(request, DefectSerializer.represent(defect), defect.version, status=status)


def _found(key: str) -> Defect:
    defect = Defect.objects.alive().filter(**by_key(key)).first()
    if defect is None:
        raise NotFound("There is no such defect.")
    return defect
