"""Is it alive, is it ready, what its problems mean, and what is not there."""

import logging
from functools import cache
from hmac import compare_digest
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from lockstep.api.errors import problem_response
from lockstep.api.figures import FiguresLate, LatestFigures
from lockstep.api.middleware import REGISTRY
from lockstep.api.parameters import read_query
from lockstep.api.problems import PROBLEMS, Problem
from lockstep.api.serializers import HealthSerializer, ProblemKindSerializer, ReadinessSerializer
from lockstep.api.server.environ import EXCHANGE
from lockstep.changes.database_errors import UnsuitableDatabase
from lockstep.delivery.heartbeat import worker_state
from lockstep.delivery.metrics import exposition
from lockstep.delivery.periodic import asleep
from lockstep.mirror.state import stops

logger = logging.getLogger(__name__)

latest_figures = LatestFigures(exposition)
UNKNOWN = {"database": "does not answer"} | dict.fromkeys(("migrations", "worker", "periodic", "mirrors"), "unknown")
READ_ONLY = "read-only"


class AsItIs(BaseContentNegotiation):
    """There is one representation, whatever was asked for: a probe gets its answer."""

    def select_parser(self, request: Request, parsers: Any) -> Any:  # noqa: ANN401 - REST framework's signature
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:  # noqa: ANN401
        return renderers[0], renderers[0].media_type


class ProbeView(APIView):
    """Not one of the API's own: nobody is signed in, nothing is counted, and any client gets its answer.

    Query parameters are ignored: a balancer may add its own, and must not take a 400 for a server that is down.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = AsItIs
    http_method_names = ["get", "head"]


class HealthView(ProbeView):
    """Liveness: whether this process responds."""

    @extend_schema(operation_id="check_health", responses=HealthSerializer)
    def get(self, request: Request) -> HttpResponse:
        return JsonResponse({"status": "ok"})


class ReadinessView(ProbeView):
    """Readiness: whether requests can be served.

    Each part is "ok", or says what is missing. A missing worker is a 503 in development only, where one command starts
    everything. Elsewhere it is only reported: a web server stays in service while a worker restarts. Only reported are
    also a database that is "read-only", because reads are served, periodic work that nobody does, and a provider whose
    mending waits for a person.
    """

    @extend_schema(operation_id="check_readiness", responses={200: ReadinessSerializer, 503: ReadinessSerializer})
    def get(self, request: Request) -> HttpResponse:
        checks = _checks()
        needed = ["database", "migrations", *(["worker"] if settings.DEBUG else [])]
        ready = all(checks[name] in ("ok", READ_ONLY) for name in needed)
        return JsonResponse(checks, status=200 if ready else 503, headers={} if ready else {"Retry-After": "1"})


class MetricsView(ProbeView):
    """Metrics for Prometheus.

    Outside development they need `Authorization: Bearer <METRICS_TOKEN>`, and are 404 without that setting.
    """

    @extend_schema(
        operation_id="read_metrics",
        auth=[{"bearer": []}, {}],  # type: ignore[list-item]  # it is annotated otherwise than it is documented
        responses={(200, "text/plain"): str, 401: None, 404: None},
    )
    def get(self, request: Request) -> HttpResponse:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if settings.METRICS_TOKEN and not compare_digest(given.encode(), settings.METRICS_TOKEN.encode()):
            return problem_response(401, "These figures need their own bearer token.", {"WWW-Authenticate": "Bearer"})
        if not settings.METRICS_TOKEN and not settings.DEBUG:
            return not_found(request._request)
        try:
            of_database = latest_figures.get() if EXCHANGE in request.META else exposition()
        except FiguresLate as late:
            return problem_response(503, str(late), {"Retry-After": str(late.retry_after)})
        return HttpResponse(of_database + generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


class ReferenceView(ProbeView):
    """What is the same for every client. Unlike a probe's, its query is read."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the route's arguments
        """Refuses query parameters: there are none."""
        super().initial(request, *args, **kwargs)
        read_query(request._request, {})


class ProblemListView(ReferenceView):
    """Lists all problem types."""

    @extend_schema(operation_id="list_problems", responses=ProblemKindSerializer(many=True))
    def get(self, request: Request) -> HttpResponse:
        return JsonResponse([_explained(problem) for problem in PROBLEMS.values()], safe=False)


class ProblemView(ReferenceView):
    """Returns a problem type: the target of a problem's `type`."""

    @extend_schema(operation_id="get_problem", responses={200: ProblemKindSerializer, 404: None})
    def get(self, request: Request, name: str) -> HttpResponse:
        problem = PROBLEMS.get(name)
        return JsonResponse(_explained(problem)) if problem else not_found(request._request)


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """The last route: whatever no other one knows."""
    return problem_response(404, "There is nothing at this address.")


def _checks() -> dict[str, str]:
    try:
        pending = required_migrations() - MigrationRecorder(connection).applied_migrations().keys()
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only') = 'on'")
            (is_read_only,) = cursor.fetchone()
        sleeping, stopped = ([], {}) if pending else (asleep(), stops())
        return {
            "database": READ_ONLY if is_read_only else "ok",
            "migrations": "pending: run manage.py migrate" if pending else "ok",
            "worker": "unknown" if pending else worker_state(),
            "periodic": f"not done for too long: {', '.join(sleeping)}" if sleeping else "ok",
            "mirrors": "; ".join(f"{provider}: stopped, {reason}" for provider, reason in stopped.items()) or "ok",
        }
    except DatabaseError:
        return UNKNOWN
    except UnsuitableDatabase as error:  # the sentence names roles and databases: it is for the log
        logger.error("%s", error)
        return UNKNOWN | {"database": "cannot be used: see the log"}


@cache
def required_migrations() -> frozenset[tuple[str, str]]:
    """Those of the code that runs. Reading them takes longer than a probe may."""
    return frozenset(MigrationLoader(None).disk_migrations)


def _explained(problem: Problem) -> dict[str, str | int]:
    return {"type": problem.type, "title": problem.title, "status": problem.status, "remedy": problem.remedy}
