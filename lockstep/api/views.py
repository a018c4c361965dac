"""Is it alive, is it ready, and what is not there."""

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from lockstep.api.errors import problem_response

WORKERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lockstep-worker'"


@csrf_exempt
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers; it asks nothing else."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 once requests can be served: {"database", "migrations", "worker"}, each "ok" or what is missing.

    In development, where one command starts everything, a missing worker counts. Elsewhere it is only shown: a web
    server does not leave the balancer because a worker restarts.
    """
    checks = _checks()
    needed = checks if settings.DEBUG else {name: state for name, state in checks.items() if name != "worker"}
    ready = all(state == "ok" for state in needed.values())
    return JsonResponse(checks, status=200 if ready else 503, headers={} if ready else {"Retry-After": "1"})


def _checks() -> dict[str, str]:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        with connection.cursor() as cursor:
            cursor.execute(WORKERS)
            workers = cursor.fetchone()[0]
    except DatabaseError:
        return {"database": "does not answer", "migrations": "unknown", "worker": "unknown"}
    return {
        "database": "ok",
        "migrations": "pending: run manage.py migrate" if pending else "ok",
        "worker": "ok" if workers else "none is running: manage.py worker",
    }


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """The last route: whatever no other one knows."""
    return problem_response(404, "There is nothing at this address.")
