"""Checks of a deployment, run by `check --deploy` and at the start of the web server."""

from collections.abc import Sequence
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

MANIFEST = "staticfiles.json"


@register(Tags.staticfiles, deploy=True)
def static_files_exist(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Checks that STATIC_ROOT has the pages' styles and scripts, which are served from there outside development."""
    if settings.DEBUG or (settings.STATIC_ROOT and (Path(settings.STATIC_ROOT) / MANIFEST).is_file()):
        return []
    message = f"The static files are missing in {settings.STATIC_ROOT}: the admin would have no styles."
    return [Error(message, hint="Run: manage.py collectstatic --no-input", id="entities.E001")]


@register(Tags.security, deploy=True)
def redirects_end(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Checks that redirects to https end: this server speaks http, and only a trusted proxy can report https."""
    if not settings.SECURE_SSL_REDIRECT or settings.SECURE_PROXY_SSL_HEADER:
        return []
    message = (
        "SECURE_SSL_REDIRECT redirects each request to https, and without TRUSTED_PROXIES each one seems to be http."
    )
    hint = "Add the proxy that speaks https to TRUSTED_PROXIES. Without one: SECURE_SSL_REDIRECT=false."
    return [Error(message, hint=hint, id="entities.E002")]


def refuse_unfit_deployment() -> None:
    """Raises ImproperlyConfigured if a check fails, for the start of the web server."""
    if found := [*static_files_exist(None), *redirects_end(None)]:
        raise ImproperlyConfigured(" ".join(f"{one.msg} {one.hint}" for one in found))
