"""What `check --deploy` and the web server's start refuse."""

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from backend.entities.deployment import MANIFEST, redirects_end, refuse_unfit_deployment, static_files_exist


@pytest.fixture
def production(settings: Any, tmp_path: Path) -> Any:
    """Settings with which a deployment works."""
    settings.DEBUG = False
    settings.STATIC_ROOT = tmp_path
    (tmp_path / MANIFEST).touch()
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    return settings


def test_a_fit_deployment_is_not_refused(production: Any):
    refuse_unfit_deployment()


def test_missing_static_files_are_refused_outside_development(production: Any, tmp_path: Path):
    (tmp_path / MANIFEST).unlink()
    assert [found.id for found in static_files_exist(None)] == ["entities.E001"]
    with pytest.raises(ImproperlyConfigured, match=r"Run: manage\.py collectstatic"):
        refuse_unfit_deployment()
    production.DEBUG = True
    assert static_files_exist(None) == []


def test_a_redirect_that_never_ends_is_refused(production: Any):
    production.SECURE_PROXY_SSL_HEADER = None
    assert [found.id for found in redirects_end(None)] == ["entities.E002"]
    with pytest.raises(ImproperlyConfigured, match="TRUSTED_PROXIES each one seems to be http"):
        refuse_unfit_deployment()
    production.SECURE_SSL_REDIRECT = False
    assert redirects_end(None) == []


@pytest.mark.django_db
def test_check_deploy_requires_both(production: Any, tmp_path: Path):
    (tmp_path / MANIFEST).unlink()
    production.SECURE_PROXY_SSL_HEADER = None
    found = {one.id for one in run_checks(include_deployment_checks=True, databases=[])}
    assert {"entities.E001", "entities.E002"} <= found
