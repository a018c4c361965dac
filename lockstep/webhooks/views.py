"""The user's endpoints, below `api/v1/webhooks/`. Those of other users are 404."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request

from lockstep.delivery.models import Attempt
from lockstep.delivery.reports import ReplayResult
from lockstep.rest.actors import actor_of
from lockstep.rest.concurrency import answer, if_match
from lockstep.rest.errors import Invalid, NotFound
from lockstep.rest.paging import page
from lockstep.rest.parameters import boolean, uuid
from lockstep.rest.permissions import ReadsToo
from lockstep.rest.requests import ApiRequest
from lockstep.rest.responses import ApiResponse
from lockstep.rest.schema import (
    CHANGES_VERSION,
    CREATES_VERSION,
    CURSOR_PAGE,
    DELETES_VERSION,
    READS_VERSION,
    SHOWS_VERSION,
)
from lockstep.rest.serializers import page_of, validated
from lockstep.rest.views import View
from lockstep.webhooks import actions
from lockstep.webhooks.actions import Created
from lockstep.webhooks.models import Endpoint
from lockstep.webhooks.serializers import (
    AttemptSerializer,
    EndpointSerializer,
    EndpointWithSecretSerializer,
    NothingToSendSerializer,
    OnItsWaySerializer,
    RedeliverSerializer,
    serialize_attempt,
    serialize_endpoint,
)

ATTEMPTS = [
    boolean("delivered", "Only attempts that succeeded (`true`), or that failed (`false`)."),
    uuid("message_id", "Only attempts of this message."),
]


class WebhookView(View):
    """A view of webhooks. They send data that their owner may read, so a token needs the scope `read` as well."""

    permission_classes = (IsAuthenticated, ReadsToo)


class EndpointListView(WebhookView):
    """The user's endpoints."""

    @extend_schema(operation_id="list_webhooks", parameters=CURSOR_PAGE, responses=page_of(EndpointSerializer))
    def get(self, request: ApiRequest) -> ApiResponse:
        """Lists your endpoints, newest first."""
        return page(request, Endpoint.objects.alive().of(request.user), shape=serialize_endpoint)

    @extend_schema(
        operation_id="create_webhook",
        parameters=CREATES_VERSION,
        request=EndpointSerializer,
        responses={201: EndpointWithSecretSerializer},
    )
    def post(self, request: Request) -> ApiResponse:
        """Creates an endpoint, which receives changes from now on.

        Only this response has its secret.
        """
        values = validated(EndpointSerializer, request.data, context={"user": request.user})
        if not values.pop("active", True):
            raise Invalid({"active": "A new endpoint is active. Leave it out, and switch the endpoint off later."})
        created = actions.create_endpoint(actor=actor_of(request), owner=request.user, **values)
        return _with_secret(request, created, 201)


class EndpointView(WebhookView):
    """A webhook endpoint."""

    @extend_schema(operation_id="get_webhook", parameters=READS_VERSION, responses=EndpointSerializer)
    def get(self, request: Request, key: UUID) -> ApiResponse:
        """Returns an endpoint."""
        return _endpoint_response(request, _endpoint(request, key))

    @extend_schema(
        operation_id="update_webhook",
        parameters=CHANGES_VERSION,
        request=EndpointSerializer,
        responses=EndpointSerializer,
    )
    def patch(self, request: Request, key: UUID) -> ApiResponse:
        """Updates an endpoint; `active` switches it off and on."""
        endpoint = _endpoint(request, key)
        context = {"user": request.user}
        values = validated(
            EndpointSerializer, request.data, context=context, partial=True, current=serialize_endpoint(endpoint)
        )
        actions.update_endpoint(actor=actor_of(request), endpoint=endpoint, match=if_match(request), **values)
        return _endpoint_response(request, _endpoint(request, key))

    @extend_schema(operation_id="delete_webhook", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, key: UUID) -> ApiResponse:
        """Deletes an endpoint and its pending messages."""
        endpoint = _endpoint(request, key)
        actions.delete_endpoint(actor=actor_of(request), endpoint=endpoint, match=if_match(request))
        return ApiResponse(status=204)


class RotateView(WebhookView):
    """Replaces the secret. For a day the old one signs, too.

    At most four old secrets are valid at a time: then the response is 409 until the first of them ends.
    """

    @extend_schema(
        operation_id="rotate_webhook_secret",
        parameters=SHOWS_VERSION,
        request=None,
        responses=EndpointWithSecretSerializer,
    )
    def post(self, request: Request, key: UUID) -> ApiResponse:
        rotated = actions.rotate_secret(actor=actor_of(request), endpoint=_endpoint(request, key))
        return _with_secret(request, rotated, 200)


class TestView(WebhookView):
    """Sends an event of type `webhooks.test.created`; see the attempts for the result."""

    @extend_schema(operation_id="test_webhook", request=None, responses={202: OnItsWaySerializer})
    def post(self, request: Request, key: UUID) -> ApiResponse:
        actions.send_test(actor=actor_of(request), endpoint=_endpoint(request, key))
        return ApiResponse({"detail": "The test event will be sent; see attempts."}, status=202)


class AttemptListView(WebhookView):
    """Lists the attempts of the last week, newest first."""

    @extend_schema(
        operation_id="list_webhook_attempts", parameters=[*ATTEMPTS, *CURSOR_PAGE], responses=page_of(AttemptSerializer)
    )
    def get(self, request: ApiRequest, key: UUID) -> ApiResponse:
        # The others were interrupted by our own side, perhaps before it was known whether the user may read the change.
        rows = Attempt.objects.filter(subscription_id=_endpoint(request, key).subscription, receipt__has_key="type")
        if "delivered" in request.parameters:
            rows = rows.filter(failure__isnull=request.parameters["delivered"])
        if "message_id" in request.parameters:
            rows = rows.filter(message_id=request.parameters["message_id"])
        return page(request, rows, shape=serialize_attempt)


class RedeliverView(WebhookView):
    """Redelivers messages: one, all dead letters, or all of a period."""

    @extend_schema(
        operation_id="redeliver_webhook",
        request=RedeliverSerializer,
        responses={202: OnItsWaySerializer, 200: NothingToSendSerializer},
    )
    def post(self, request: Request, key: UUID) -> ApiResponse:
        endpoint = _endpoint(request, key)
        values = validated(RedeliverSerializer, request.data)
        done = _redeliver(actor_of(request), endpoint, values)
        gone = " Some messages are too old to be sent again." if done.not_in_log else ""
        # For a period the number is not returned: it is not known yet which changes the user may read.
        if values.get("dead_letters") and not done.objects and not done.not_fanned_out:
            none = "The endpoint has no dead letters." if not gone else gone.strip()
            return ApiResponse({"detail": f"{none} Nothing is sent."}, status=200)
        return ApiResponse({"detail": f"The messages that you may read will be sent; see attempts.{gone}"}, status=202)


def _redeliver(actor: str, endpoint: Endpoint, selection: dict[str, Any]) -> ReplayResult:
    if message_id := selection.get("message_id"):
        return actions.redeliver_message(actor=actor, endpoint=endpoint, message_id=message_id)
    if since := selection.get("since"):
        return actions.redeliver_span(actor=actor, endpoint=endpoint, since=since, until=selection.get("until"))
    return actions.redeliver_dead_letters(actor=actor, endpoint=endpoint)


def _endpoint(request: Request, key: UUID) -> Endpoint:
    endpoint = Endpoint.objects.alive().of(request.user).filter(pk=key).first()
    if endpoint is None:
        raise NotFound("You have no such endpoint.")
    return endpoint


def _endpoint_response(request: Request, endpoint: Endpoint) -> ApiResponse:
    return answer(request, serialize_endpoint(endpoint), endpoint.version)


def _with_secret(request: Request, created: Created, status: int) -> ApiResponse:
    body = {**serialize_endpoint(created.endpoint), "secret": created.secret}
    return answer(request, body, created.endpoint.version, status=status)
