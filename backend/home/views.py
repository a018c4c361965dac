"""The start page and the page for signing in. The first says what this is, whether it works, and where to go.

In development it has a trial as well (trial.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views import View

from backend.accounts.admin_sign_in import SignInForm
from backend.entities.stand_ins import local_addresses
from backend.home.trial import PostForm, Trial
from lockstep.page_policy import page_policy
from lockstep.rest.pages import ErrorPage
from lockstep.rest.probes import readiness

READABLE = ("ok", "read-only")  # the states of a database in which users and posts can be read
CONSOLE = "lockstep.console"
ICON = Path(__file__).parent / "static" / "home" / "icon.svg"
NAMES = {"periodic": "periodic work"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the system as the page shows it; `state` is "" where its details are not for the reader."""

    name: str
    works: bool
    state: str


class IconView(View):
    """The icon that browsers ask for on behalf of pages that name none."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(ICON.read_bytes(), content_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})


def out_of_date(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The error for a form without the token of its session. `reason` is Django's, for developers."""
    page = ErrorPage(render_to_string("403_csrf.html", request=request), status=403)
    page.headers["Content-Security-Policy"] = page_policy()
    return page


class SignInView(LoginView):
    """Signs in by username or e-mail address: the form of pages that are for every user."""

    form_class = SignInForm
    template_name = "home/sign_in.html"
    next_page = "/"
    http_method_names = ["get", "head", "post"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401 - the base's
        response = super().dispatch(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = page_policy()
        response.headers["Cache-Control"] = "no-store"
        return response


class HomeView(View):
    """The page. It works without scripts; with them its state is up to date."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        return home_page(request)


def home_page(request: HttpRequest, form: PostForm | None = None) -> HttpResponse:
    """The page for this request; `form` is one that was sent and has errors. No user is read without a database."""
    states = readiness()
    is_readable = states["database"] in READABLE
    user = request.user if is_readable else AnonymousUser()
    is_staff = user.is_authenticated and user.is_staff
    shows_details = settings.DEBUG or is_staff
    context: dict[str, object] = {
        "user": user,
        "parts": [
            Part(NAMES.get(name, name), state == "ok", state if shows_details else "") for name, state in states.items()
        ],
        "is_well": all(state == "ok" for state in states.values()),
        "is_staff": is_staff,
        "has_console": is_staff and apps.is_installed(CONSOLE),
        "stand_ins": local_addresses() if settings.DEBUG else {},
        "trial": Trial.of(user, form) if settings.DEBUG and is_readable else None,
    }
    if not is_readable:
        context["messages"] = ()
    response = render(request, "home/home.html", context)
    response["Content-Security-Policy"] = page_policy()
    response["Cache-Control"] = "no-store"
    return response
