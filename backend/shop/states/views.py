"""The view of the state machines below `api/v1/`."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from backend.shop.states.machines import MACHINES
from backend.shop.states.serializers import MachineSerializer
from lockstep.rest.responses import ApiResponse
from lockstep.rest.serializers import page_of
from lockstep.rest.views import View


class StateListView(View):
    """Lists the states and transitions of products, bags and orders, on one page."""

    @extend_schema(operation_id="list_states", responses=page_of(MachineSerializer))
    def get(self, request: Request) -> ApiResponse:
        machines = [MachineSerializer.represent(machine) for machine in MACHINES]
        return ApiResponse({"next": None, "previous": None, "results": machines})
