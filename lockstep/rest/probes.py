"""Liveness, readiness and metrics."""

import logging
from functools import cache, partial
from hmac import compare_digest

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpResponse, JsonResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.request import Request

from lockstep.changes.applied_migrations import on_disk
from lockstep.changes.database_errors import UnsuitableDatabase
from lockstep.conf import lockstep_settings
from lockstep.delivery.heartbeat import worker_state
from lockstep.delivery.metrics import exposition
from lockstep.delivery.periodic import overdue
from lockstep.rest.errors import problem_response
from lockstep.rest.figures import DatabaseMetrics, of_web_server
from lockstep.rest.problem_views import ProbeView, not_found
from lockstep.rest.serializers import HealthSerializer, ReadinessSerializer
from lockstep.rest.server.environ import EXCHANGE

__all__ = ["HealthView", "MetricsView", "ReadinessView", "readiness", "required_migrations"]

logger = logging.getLogger(__name__)

if apps.is_installed("lockstep.mirror"):  # importing its models would fail otherwise
    from lockstep.mirror.metrics import Mirrors
    from lockstep.mirror.state import stops

    database_metrics = DatabaseMetrics(partial(exposition, Mirrors()))
else:
    database_metrics = DatabaseMetrics(exposition)

    def stops() -> dict[str, str]:
        """No provider is stopped."""
        return {}


UNKNOWN = {"database": "does not answer"} | dict.fromkeys(("migrations", "worker", "periodic", "mirrors"), "unknown")
READ_ONLY = "read-only"


class HealthView(ProbeView):
    """Liveness: whether this process responds."""

    @extend_schema(operation_id="check_health", responses=HealthSerializer)
    def get(self, request: Request) -> HttpResponse:
        return JsonResponse({"status": "ok"})


class ReadinessView(ProbeView):
    """Readiness: whether requests can be served.

    Each part is "ok", or says what is missing. A missing worker is a 503 in development only, where one command starts
    everything. Elsewhere it is only reported: a web server stays in service while a worker restarts. Only reported are
    also a database that is "read-only", because reads are served, periodic work that no worker does, and a provider
    whose mending waits for an operator.
    """

    @extend_schema(operation_id="check_readiness", responses={200: ReadinessSerializer, 503: ReadinessSerializer})
    def get(self, request: Request) -> HttpResponse:
        checks = readiness()
        needed = ["database", "migrations", *(["worker"] if settings.DEBUG else [])]
        ready = all(checks[name] in ("ok", READ_ONLY) for name in needed)
        return JsonResponse(checks, status=200 if ready else 503, headers={} if ready else {"Retry-After": "1"})


class MetricsView(ProbeView):
    """Metrics for Prometheus.

    Outside development they need `Authorization: Bearer <METRICS_TOKEN>`, and are 404 without that setting.
    """

    @extend_schema(
        operation_id="get_metrics",
        auth=[{"bearer": []}, {}],  # type: ignore[list-item]  # it is annotated otherwise than it is documented
        responses={(200, "text/plain"): str, 401: None, 404: None},
    )
    def get(self, request: Request) -> HttpResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token if scheme.lower() == "bearer" else ""
        expected = lockstep_settings.REST_METRICS_TOKEN
        if expected and not compare_digest(token.encode(), expected.encode()):
            return problem_response(401, "Metrics need their own bearer token.", {"WWW-Authenticate": "Bearer"})
        if not expected and not settings.DEBUG:
            return not_found(request._request)
        of_database = database_metrics.latest() if EXCHANGE in request.META else database_metrics.now()
        return HttpResponse(of_database + of_web_server(), content_type=CONTENT_TYPE_LATEST)


def readiness() -> dict[str, str]:
    """The state of each part by its name: "ok", or what is missing."""
    try:
        pending = required_migrations() - MigrationRecorder(connection).applied_migrations().keys()
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only') = 'on'")
            (is_read_only,) = cursor.fetchone()
        late, stopped = ([], {}) if pending else (overdue(), stops())
        return {
            "database": READ_ONLY if is_read_only else "ok",
            "migrations": "pending: run manage.py migrate" if pending else "ok",
            "worker": "unknown" if pending else worker_state(),
            "periodic": f"not done for too long: {', '.join(late)}" if late else "ok",
            "mirrors": "; ".join(f"{provider}: stopped, {reason}" for provider, reason in stopped.items()) or "ok",
        }
    except DatabaseError:
        return UNKNOWN
    except UnsuitableDatabase as error:  # the message names roles and databases: it is for the log only
        logger.error("%s", error)
        return UNKNOWN | {"database": "cannot be used: see the log"}


@cache
def required_migrations() -> frozenset[tuple[str, str]]:
    """The migrations of the running code. They are cached: reading them takes longer than a probe may."""
    return frozenset(on_disk())
