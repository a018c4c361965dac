"""The user's endpoints, below `api/v1/webhooks/`. Those of other users are 404."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request

from lockstep.api.answers import Answer
from lockstep.api.concurrency import answer, if_match
from lockstep.api.errors import Invalid, NotFound
from lockstep.api.paging import page
from lockstep.api.parameters import boolean, uuid
from lockstep.api.permissions import ReadsToo
from lockstep.api.requests import Asking, actor_of
from lockstep.api.schema import (
    CHANGES_VERSION,
    CREATES_VERSION,
    CURSOR_PAGE,
    DELETES_VERSION,
    READS_VERSION,
    SHOWS_VERSION,
)
from lockstep.api.serializers import page_of
from lockstep.api.views import View
from lockstep.delivery.models import Attempt
from lockstep.delivery.operations import Replayed
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
    shown,
    shown_attempt,
)

ATTEMPTS = [
    boolean("delivered", "Only attempts that succeeded (`true`), or that failed (`false`)."),
    uuid("message_id", "Only attempts of this message."),
]


class WebhookView(View):
    """A view of webhooks: they send what their owner may read, and so a token that may only write has none."""

    permission_classes = (IsAuthenticated, ReadsToo)


class EndpointListView(WebhookView):
    """The user's endpoints."""

    @extend_schema(operation_id="list_webhooks", parameters=CURSOR_PAGE, responses=page_of(EndpointSerializer))
    def get(self, request: Asking) -> Answer:
        """Lists your endpoints, newest first."""
        return page(request, Endpoint.objects.alive().of(request.user), shape=shown)

    @extend_schema(
        operation_id="create_webhook",
        parameters=CREATES_VERSION,
        request=EndpointSerializer,
        responses={201: EndpointWithSecretSerializer},
    )
    def post(self, request: Request) -> Answer:
        """Creates an endpoint, which receives changes from now on.

        Only this response has its secret.
        """
        given = EndpointSerializer(data=request.data, context={"user": request.user})
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        if not values.pop("active", True):
            raise Invalid({"active": "A new endpoint is active. Leave it out, and switch the endpoint off later."})
        created = actions.create_endpoint(actor=actor_of(request), owner=request.user, **values)
        return _with_secret(request, created, 201)


class EndpointView(WebhookView):
    """A webhook endpoint."""

    @extend_schema(operation_id="get_webhook", parameters=READS_VERSION, responses=EndpointSerializer)
    def get(self, request: Request, key: UUID) -> Answer:
        """Returns an endpoint."""
        return _shown(request, _endpoint(request, key))

    @extend_schema(
        operation_id="update_webhook",
        parameters=CHANGES_VERSION,
        request=EndpointSerializer,
        responses=EndpointSerializer,
    )
    def patch(self, request: Request, key: UUID) -> Answer:
        """Updates an endpoint; `active` switches it off and on."""
        endpoint = _endpoint(request, key)
        context = {"user": request.user}
        given = EndpointSerializer(data=request.data, context=context, partial=True, shown=shown(endpoint))
        given.is_valid(raise_exception=True)
        actions.update_endpoint(
            actor=actor_of(request), endpoint=endpoint, match=if_match(request), **given.validated_data
        )
        return _shown(request, _endpoint(request, key))

    @extend_schema(operation_id="delete_webhook", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, key: UUID) -> Answer:
        """Deletes an endpoint and its pending messages."""
        endpoint = _endpoint(request, key)
        actions.delete_endpoint(actor=actor_of(request), endpoint=endpoint, match=if_match(request))
        return Answer(status=204)


class RotateView(WebhookView):
    """Replaces the secret. The old one goes on signing for a day, beside the new one.

    At most four old ones do so at a time: then it is 409 until the first of them ends.
    """

    @extend_schema(
        operation_id="rotate_webhook_secret",
        parameters=SHOWS_VERSION,
        request=None,
        responses=EndpointWithSecretSerializer,
    )
    def post(self, request: Request, key: UUID) -> Answer:
        rotated = actions.rotate_secret(actor=actor_of(request), endpoint=_endpoint(request, key))
        return _with_secret(request, rotated, 200)


class TestView(WebhookView):
    """Sends an event of type `webhooks.test.created`; see the attempts for the result."""

    @extend_schema(operation_id="test_webhook", request=None, responses={202: OnItsWaySerializer})
    def post(self, request: Request, key: UUID) -> Answer:
        actions.send_test(actor=actor_of(request), endpoint=_endpoint(request, key))
        return Answer({"detail": "The test event is on its way; see attempts."}, status=202)


class AttemptListView(WebhookView):
    """Lists the attempts of the last week, newest first."""

    @extend_schema(
        operation_id="list_webhook_attempts", parameters=[*ATTEMPTS, *CURSOR_PAGE], responses=page_of(AttemptSerializer)
    )
    def get(self, request: Asking, key: UUID) -> Answer:
        rows = Attempt.objects.filter(subscription_id=_endpoint(request, key).subscription)
        if "delivered" in request.parameters:
            rows = rows.filter(failure__isnull=request.parameters["delivered"])
        if "message_id" in request.parameters:
            rows = rows.filter(message_id=request.parameters["message_id"])
        return page(request, rows, shape=shown_attempt)


class RedeliverView(WebhookView):
    """Redelivers messages: one, all dead letters, or all of a period."""

    @extend_schema(
        operation_id="redeliver_webhook",
        request=RedeliverSerializer,
        responses={202: OnItsWaySerializer, 200: NothingToSendSerializer},
    )
    def post(self, request: Request, key: UUID) -> Answer:
        endpoint = _endpoint(request, key)
        given = RedeliverSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        done = _redeliver(actor_of(request), endpoint, given.validated_data)
        gone = " Some messages are too old to be sent again." if done.not_in_log else ""
        # Of a period that is not told before it is known what may be read of it.
        if given.validated_data.get("dead_letters") and not done.objects and not done.not_fanned_out:
            none = "No message of this endpoint is put aside." if not gone else gone.strip()
            return Answer({"detail": f"{none} Nothing is sent."}, status=200)
        return Answer({"detail": f"What you may read of it is on its way; see attempts.{gone}"}, status=202)


def _redeliver(actor: str, endpoint: Endpoint, given: dict[str, Any]) -> Replayed:
    if message_id := given.get("message_id"):
        return actions.redeliver_message(actor=actor, endpoint=endpoint, message_id=message_id)
    if since := given.get("since"):
        return actions.redeliver_span(actor=actor, endpoint=endpoint, since=since, until=given.get("until"))
    return actions.redeliver_dead_letters(actor=actor, endpoint=endpoint)


def _endpoint(request: Request, key: UUID) -> Endpoint:
    endpoint = Endpoint.objects.alive().of(request.user).filter(pk=key).first()
    if endpoint is None:
        raise NotFound("You have no such endpoint.")
    return endpoint


def _shown(request: Request, endpoint: Endpoint) -> Answer:
    return answer(request, shown(endpoint), endpoint.version)


def _with_secret(request: Request, created: Created, status: int) -> Answer:
    body = {**shown(created.endpoint), "secret": created.secret}
    return answer(request, body, created.endpoint.version, status=status)
