"""The types of problems, and the response where no route matches."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from lockstep.rest.errors import problem_response
from lockstep.rest.exception_handler import exception_handler
from lockstep.rest.problems import PROBLEMS, Problem
from lockstep.rest.requests import read_query
from lockstep.rest.serializers import ProblemKindSerializer

__all__ = ["not_found"]


class SingleRepresentation(BaseContentNegotiation):
    """Ignores the Accept header: there is one representation."""

    def select_parser(self, request: Request, parsers: Any) -> Any:  # noqa: ANN401 - REST framework's signature
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:  # noqa: ANN401
        return renderers[0], renderers[0].media_type


class ProbeView(APIView):
    """A view without authentication or limits, whatever the project's other views have.

    Query parameters are ignored: a load balancer may add its own, and would take a 400 for a server that is down.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    content_negotiation_class = SingleRepresentation
    http_method_names = ["get", "head"]

    def get_exception_handler(self) -> Any:  # noqa: ANN401 - a function
        return exception_handler


class ProblemListView(ProbeView):
    """Lists all problem types."""

    @extend_schema(operation_id="list_problems", responses=ProblemKindSerializer(many=True))
    def get(self, request: Request) -> HttpResponse:
        read_query(request._request, {})  # refuses all parameters: this is no probe of a load balancer
        return JsonResponse([_explained(problem) for problem in PROBLEMS.values()], safe=False)


class ProblemView(ProbeView):
    """Returns a problem type: the target of a problem's `type`."""

    @extend_schema(operation_id="get_problem", responses={200: ProblemKindSerializer, 404: None})
    def get(self, request: Request, name: str) -> HttpResponse:
        read_query(request._request, {})
        problem = PROBLEMS.get(name)
        return JsonResponse(_explained(problem)) if problem else not_found(request._request)


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """The last route, for paths that no other route matches."""
    return problem_response(404, "There is nothing at this address.")


def _explained(problem: Problem) -> dict[str, str | int]:
    return {"type": problem.type, "title": problem.title, "status": problem.status, "remedy": problem.remedy}
