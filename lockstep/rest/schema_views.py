"""The OpenAPI document, and two pages that display it. All their files are served from here."""

import threading
from functools import cache

import orjson
from django.http import HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from lockstep.rest.json import JSONRenderer
from lockstep.rest.middleware import PAGE_POLICY
from lockstep.rest.views import View

__all__ = ["RedocView", "SchemaView", "SwaggerView"]

_lock = threading.Lock()
REDOC_POLICY = f"{PAGE_POLICY}; worker-src 'self' blob:"  # its search runs in a worker from a blob


def _renderer(media_type: str, short: str) -> type[JSONRenderer]:
    """A renderer for content negotiation; errors are problem+json all the same."""
    return type("Renderer", (JSONRenderer,), {"media_type": media_type, "format": short})


YAML, JSON = (
    ("application/yaml", "application/vnd.oai.openapi"),
    ("application/json", "application/vnd.oai.openapi+json"),
)


class SchemaView(View):
    """Returns this OpenAPI document as YAML or JSON."""

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
    """An HTML page for browsers."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = (_renderer("text/html", "html"),)


class SwaggerView(PageView):
    """Displays this OpenAPI document in Swagger UI."""

    @extend_schema(operation_id="get_swagger_ui", responses={200: str})
    def get(self, request: Request) -> HttpResponse:
        return render(request._request, "api/swagger.html")


class RedocView(PageView):
    """Displays this OpenAPI document in Redoc."""

    @extend_schema(operation_id="get_redoc", responses={200: str})
    def get(self, request: Request) -> HttpResponse:
        page = render(request._request, "api/redoc.html")
        page["Content-Security-Policy"] = REDOC_POLICY
        return page


def description() -> dict[str, object]:
    """The OpenAPI document of all routes. One thread at a time: the generator is not thread-safe."""
    with _lock:
        made: dict[str, object] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


@cache
def _yaml() -> bytes:
    return bytes(OpenApiYamlRenderer().render(description()))  # type: ignore[no-untyped-call]


@cache
def _json() -> bytes:
    return orjson.dumps(description())
