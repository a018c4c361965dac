"""The OpenAPI description, and the two pages that show it to people. Nothing of them comes from elsewhere."""

from functools import cache
from typing import Any

import orjson
from django.http import HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from lockstep.api.json import JSONRenderer
from lockstep.api.middleware import PAGE_POLICY
from lockstep.api.views import View

REDOC_POLICY = f"{PAGE_POLICY}; worker-src 'self' blob:"  # it searches in a worker that it makes itself


def _renderer(media_type: str, short: str) -> type[JSONRenderer]:
    """Lets a client ask for this; errors are problem+json all the same."""
    return type("Renderer", (JSONRenderer,), {"media_type": media_type, "format": short})


YAML, JSON = (
    ("application/yaml", "application/vnd.oai.openapi"),
    ("application/json", "application/vnd.oai.openapi+json"),
)


class SchemaView(View):
    """Returns this description, as YAML or JSON."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = (*(_renderer(name, "yaml") for name in YAML), *(_renderer(name, "json") for name in JSON))

    @extend_schema(
        operation_id="get_schema", responses={(200, *YAML, *JSON): {"type": "object", "additionalProperties": True}}
    )
    def get(self, request: Request) -> HttpResponse:
        media_type = request.accepted_renderer.media_type
        return HttpResponse(_json() if media_type in JSON else _yaml(), content_type=media_type)


class PageView(View):
    """A page of ours for people with a browser."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = (_renderer("text/html", "html"),)


class SwaggerView(PageView):
    """Shows this description in Swagger UI."""

    @extend_schema(operation_id="show_swagger_ui", responses={200: str})
    def get(self, request: Request) -> HttpResponse:
        return render(request._request, "api/swagger.html")


class RedocView(PageView):
    """Shows this description in Redoc."""

    @extend_schema(operation_id="show_redoc", responses={200: str})
    def get(self, request: Request) -> HttpResponse:
        page = render(request._request, "api/redoc.html")
        page["Content-Security-Policy"] = REDOC_POLICY
        return page


def description() -> dict[str, Any]:
    """The OpenAPI description of every route."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


@cache
def _yaml() -> bytes:
    return bytes(OpenApiYamlRenderer().render(description()))  # type: ignore[no-untyped-call]


@cache
def _json() -> bytes:
    return orjson.dumps(description())
