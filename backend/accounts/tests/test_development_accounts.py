"""The accounts of development, whose passwords are published, are of no use anywhere else."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.test import Client

from backend.accounts.checks import no_development_accounts, refuse_development_accounts
from backend.accounts.models import User

pytestmark = pytest.mark.django_db
FOUND = [
    "the account user / 1234 is for development only.",
    "the account admin / 12345 is for development only.",
    "the OAuth client lockstep-dev is for development only.",
]


@pytest.fixture
def accounts(db: None, settings: Any) -> None:
    """What `make run` sets up."""
    settings.DEBUG = True
    call_command("setup_development_accounts")
    settings.DEBUG = False


def sign_in(name: str, password: str) -> int:
    body = {"username": name, "password": password}
    return Client().post("/auth/", body, content_type="application/json").status_code


@pytest.mark.usefixtures("accounts")
def test_check_deploy_names_each():
    assert [problem.msg for problem in no_development_accounts(None)] == FOUND
    assert set(FOUND) <= {problem.msg for problem in run_checks(include_deployment_checks=True)}


@pytest.mark.usefixtures("accounts")
def test_the_start_is_refused_outside_development(settings: Any):
    with pytest.raises(ImproperlyConfigured, match="the account admin / 12345"):
        refuse_development_accounts()
    settings.DEBUG = True
    refuse_development_accounts()


@pytest.mark.usefixtures("accounts")
def test_published_passwords_are_refused_outside_development(settings: Any):
    assert (sign_in("admin", "12345"), sign_in("user", "1234")) == (401, 401)
    settings.DEBUG = True
    assert (sign_in("admin", "12345"), sign_in("user", "1234")) == (200, 200)


@pytest.mark.usefixtures("accounts")
def test_an_account_with_another_password_is_not_refused():
    for user in User.objects.all():
        user.set_password("an unpublished one")
        user.save()
    assert [problem.msg for problem in no_development_accounts(None)] == FOUND[2:]
    assert sign_in("admin", "an unpublished one") == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("accounts")
@pytest.mark.slow
def test_the_web_server_does_not_start(tmp_path: Path):
    (tmp_path / "staticfiles.json").touch()
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environment = os.environ | {"DATABASE_URL": database, "DEBUG": "false", "ALLOWED_HOSTS": "example.com"}
    environment |= {"STATIC_ROOT": str(tmp_path), "TRUSTED_PROXIES": "10.0.0.0/8"}
    load = [sys.executable, "-c", "import backend.config.asgi"]
    ended = subprocess.run(load, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    # The accounts are not among them: the passwords of tests are hashed by a hasher that only tests have.
    assert ended.stderr.startswith("Lockstep cannot start: the OAuth client lockstep-dev: for development only.")
