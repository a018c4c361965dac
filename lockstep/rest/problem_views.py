"""The types of problems, and the response where no route matches: JSON, and pages for browsers."""

from collections.abc import Callable, Iterable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from lockstep.rest.exception_handler import exception_handler
from lockstep.rest.pages import error_response, prefers_html, problems_page
from lockstep.rest.problems import PROBLEMS, Problem, all_problems
from lockstep.rest.requests import read_query
from lockstep.rest.serializers import ProblemKindSerializer

__all__ = ["not_found"]


class SingleRepresentation(BaseContentNegotiation):
    """Ignores the Accept header: there is one representation."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type


class ProbeView(APIView):
    """A view without authentication or limits, whatever the project's other views have.

    Query parameters are ignored: a load balancer may add its own, and would take a 400 for a server that is down.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    content_negotiation_class = SingleRepresentation
    http_method_names = ["get", "head"]

    def get_exception_handler(self) -> Callable[..., HttpResponse | None]:
        return exception_handler


class ProblemListView(ProbeView):
    """Lists all problem types."""

    @extend_schema(operation_id="list_problems", responses=ProblemKindSerializer(many=True))
    def get(self, request: Request) -> HttpResponse:
        read_query(request._request, {})  # refuses all parameters: this is no probe of a load balancer
        problems = all_problems()
        if prefers_html(request._request):
            return _negotiated(problems_page(problems))
        return _negotiated(JsonResponse([_explained(problem) for problem in problems], safe=False))


class ProblemView(ProbeView):
    """Returns a problem type: the target of a problem's `type`."""

    @extend_schema(operation_id="get_problem", responses={200: ProblemKindSerializer, 404: None})
    def get(self, request: Request, name: str) -> HttpResponse:
        read_query(request._request, {})
        problem = PROBLEMS.get(name)
        if problem is None:
            return not_found(request._request)
        if prefers_html(request._request):
            return _negotiated(problems_page([problem]))
        return _negotiated(JsonResponse(_explained(problem)))


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """The last route, for paths that no other route matches."""
    return error_response(request, 404, "There is nothing at this address.")


def _negotiated(response: HttpResponse) -> HttpResponse:
    patch_vary_headers(response, ["Accept"])
    return response


def _explained(problem: Problem) -> dict[str, str | int]:
    return {"type": problem.type, "title": problem.title, "status": problem.status, "remedy": problem.remedy}
