"""Errors and problem types as pages, for clients that prefer HTML: browsers.

A page needs neither the database nor a session, nor the project's TEMPLATES: it is also what a browser sees while
those fail.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.template import Engine
from django.utils.cache import patch_vary_headers
from drf_spectacular.settings import spectacular_settings

from lockstep.changes.context import current_trace
from lockstep.page_policy import page_policy
from lockstep.rest.errors import problem_response
from lockstep.rest.problems import Problem, problem_of

__all__ = ["ErrorPage", "error_response", "prefers_html"]

HTML, JSON = "text/html", "application/json"
MAX_ACCEPT = 1_000  # characters; browsers send some two hundred


class ErrorPage(HttpResponse):
    """An HTML error that is sent as it is: those without `is_page` are replaced by `error_response` (middleware.py)."""

    is_page = True


def prefers_html(request: HttpRequest) -> bool:
    """Whether Accept prefers HTML to JSON. Clients that send no Accept, or `*/*`, do not."""
    accept = request.META.get("HTTP_ACCEPT", "")
    if HTML not in accept or len(accept) > MAX_ACCEPT:
        return False
    try:
        return request.get_preferred_type([JSON, HTML]) == HTML
    except (LookupError, ValueError):  # an extended value (RFC 8187) with an unknown charset
        return False


def error_response(
    request: HttpRequest, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """An error in the representation that the request prefers: a page, or problem+json."""
    if prefers_html(request):
        problem = problem_of(status)
        context = {"detail": detail, "trace": current_trace.get(), **_definition(problem)}
        response: HttpResponse = ErrorPage(_rendered("problem.html", context), status=status, headers=headers)
        response["Content-Security-Policy"] = page_policy()
    else:
        response = problem_response(status, detail, headers)
    patch_vary_headers(response, ["Accept"])
    return response


def problems_page(problems: list[Problem]) -> HttpResponse:
    """The definitions of problem types."""
    page = HttpResponse(_rendered("problems.html", {"problems": [_definition(problem) for problem in problems]}))
    page["Content-Security-Policy"] = page_policy()
    return page


def _rendered(template: str, context: Mapping[str, object]) -> str:
    values = {"service": spectacular_settings.TITLE, **context}
    return str(_engine().render_to_string(f"api/{template}", values))


@cache
def _engine() -> Engine:
    return Engine(dirs=[str(Path(__file__).parent / "templates")], libraries={"static": "django.templatetags.static"})


def _definition(problem: Problem) -> dict[str, object]:
    return {"problem": problem, "remedy": _marked_code(problem.remedy)}


def _marked_code(text: str) -> list[tuple[str, bool]]:
    """The parts of a text, each with whether it stands between backticks."""
    return [(part, number % 2 == 1) for number, part in enumerate(text.split("`")) if part]
