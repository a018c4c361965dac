"""Views of payments below `api/v1/`."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from backend.shop.orders import reads
from backend.shop.orders.models import Order
from backend.shop.orders.serializers import OrderWithHistorySerializer
from backend.shop.orders.views import order_response
from backend.shop.payments import actions, card_tries
from backend.shop.payments.cards import tokenise_card
from backend.shop.payments.serializers import ConfirmationSerializer
from backend.shop.states import machines
from lockstep.rest.requests import actor_of
from lockstep.rest.responses import ApiResponse
from lockstep.rest.schema import SHOWS_VERSION
from lockstep.rest.server.slots import remote_wait
from lockstep.rest.views import View


class ConfirmView(View):
    """Confirms an order with a payment card, before its deadline.

    The response does not wait for the payment: the order is CONFIRMED, and ACCEPTED or REJECTED soon after.
    """

    _order: Order
    _token = ""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the route's arguments
        """Sends the card to the gateway before any transaction begins, unless the order is in another state."""
        super().initial(request, *args, **kwargs)
        if request.method == "POST":
            serializer = ConfirmationSerializer(data=request.data)
            serializer.is_valid(raise_exception=True)
            self._order = reads.order(kwargs["key"], request.user)
            if self._order.state == machines.PENDING_CONFIRMATION:
                waits = remote_wait("payments", str(request.user.pk))
                with card_tries.counted(self._order, request.user), waits:
                    self._token = tokenise_card(**serializer.validated_data["payment"])

    @extend_schema(
        operation_id="confirm_order",
        parameters=SHOWS_VERSION,
        request=ConfirmationSerializer,
        responses={200: OrderWithHistorySerializer},
    )
    def post(self, request: Request, key: str) -> ApiResponse:
        actions.confirm_order(actor=actor_of(request), order=self._order, token=self._token)
        return order_response(request, key)
