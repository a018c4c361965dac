"""Views of payments below `api/v1/`."""

from django.http import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from backend.shop.orders import reads
from backend.shop.orders.serializers import OrderWithHistorySerializer
from backend.shop.orders.views import order_response
from backend.shop.payments import actions, card_tries
from backend.shop.payments.cards import tokenise_card
from backend.shop.payments.serializers import ConfirmationSerializer
from backend.shop.states import machines
from lockstep.rest import idempotency
from lockstep.rest.actors import actor_of
from lockstep.rest.schema import SHOWS_VERSION
from lockstep.rest.serializers import validated
from lockstep.rest.server.slots import remote_wait
from lockstep.rest.views import View


class ConfirmView(View):
    """Confirms an order with a payment card, before its deadline.

    The response does not wait for the payment: the order is CONFIRMED, and ACCEPTED or REJECTED soon after.
    """

    replays_itself = True

    @extend_schema(
        operation_id="confirm_order",
        parameters=SHOWS_VERSION,
        request=ConfirmationSerializer,
        responses={200: OrderWithHistorySerializer},
    )
    def post(self, request: Request, key: str) -> HttpResponseBase:
        card = validated(ConfirmationSerializer, request.data)["payment"]
        order, token = reads.order(key, request.user), ""
        # The card goes to the gateway before any transaction begins. A repeated request finds the order confirmed, and
        # sends no card again.
        if order.state == machines.PENDING_CONFIRMATION:
            with card_tries.counted(order, request.user), remote_wait("payments", str(request.user.pk)):
                token = tokenise_card(**card)

        def confirm() -> HttpResponseBase:
            actions.confirm_order(actor=actor_of(request), order=order, token=token)
            return order_response(request, key)

        return idempotency.once(request, confirm)
