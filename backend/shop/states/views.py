"""The view of the state machines below `api/v1/`."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from backend.shop.states.machines import MACHINES
from backend.shop.states.serializers import MachineSerializer
from lockstep.rest.responses import ApiResponse
from lockstep.rest.views import View


class StateListView(View):
    """Lists the states and transitions of products, bags and orders."""

    @extend_schema(operation_id="list_states", responses=MachineSerializer(many=True))
    def get(self, request: Request) -> ApiResponse:
        return ApiResponse([MachineSerializer.represent(machine) for machine in MACHINES])
