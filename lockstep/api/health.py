"""Is it alive, is it ready, what its problems mean, and what is not there."""

from hmac import compare_digest

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from lockstep.api.errors import problem_response
from lockstep.api.middleware import REGISTRY
from lockstep.api.problems import PROBLEMS, Problem
from lockstep.delivery.metrics import exposition

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


@csrf_exempt
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """What waits for whom, and what this process answered; outside development with `Bearer <METRICS_TOKEN>`."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if settings.METRICS_TOKEN and not compare_digest(given.encode(), settings.METRICS_TOKEN.encode()):
        return problem_response(401, "These figures need their own bearer token.", {"WWW-Authenticate": "Bearer"})
    if not settings.METRICS_TOKEN and not settings.DEBUG:
        return not_found(request)
    return HttpResponse(exposition() + generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


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
@require_safe
def problem_list(request: HttpRequest) -> HttpResponse:
    """Every kind of problem that a client may meet."""
    return JsonResponse([_explained(problem) for problem in PROBLEMS.values()], safe=False)


@csrf_exempt
@require_safe
def problem_detail(request: HttpRequest, name: str) -> HttpResponse:
    """One kind: what the `type` of a problem points at."""
    problem = PROBLEMS.get(name)
    return JsonResponse(_explained(problem)) if problem else not_found(request)


def _explained(problem: Problem) -> dict[str, str | int]:
    return {"type": problem.type, "title": problem.title, "status": problem.status, "remedy": problem.remedy}


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """The last route: whatever no other one knows."""
    return problem_response(404, "There is nothing at this address.")
