"""Settings that are missing or unsafe stop the start with a sentence that says what to do."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.exceptions import ImproperlyConfigured
from environs import EnvError

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = ROOT / "backend" / "config" / "settings.py"
GOOD = {
    "SECRET_KEY": "a-long-one-" * 5,
    "ALLOWED_HOSTS": "shop.example",
    "DATABASE_URL": "postgresql://u@127.0.0.1:1/d",
}


def manage(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PYTHON")}
    clean = kept | {"LOCKSTEP_HOME": str(tmp_path)}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True, text=True)


def settings_of(tmp_path: Path, **environment: str) -> dict[str, Any]:
    """All settings, as a process would read them that has this environment and nothing else."""
    with patch.dict(os.environ, {"LOCKSTEP_HOME": str(tmp_path)} | environment, clear=True):
        return runpy.run_path(str(SETTINGS))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"SECRET_KEY": None}, '"SECRET_KEY" not set. In development `make run` keeps all settings in'),
        ({"ALLOWED_HOSTS": None}, "ALLOWED_HOSTS must name the hosts"),
        ({"DATABASE_URL": None}, '"DATABASE_URL" not set'),
        ({"SECRET_KEY": "short"}, "at least 50 random characters"),
        ({"SECRET_KEY_FALLBACKS": "short"}, "at least 50 random characters"),
        ({"ALLOWED_HOSTS": " , "}, "must name the hosts"),
        ({"ALLOWED_HOSTS": "https://shop.example/"}, "must name hosts alone"),
        ({"ALLOWED_HOSTS": "*"}, "must name the hosts"),
        ({"DATABASE_URL": "sqlite:///x"}, "must be a postgresql:// address"),
        ({"DATABASE_URL": "nonsense"}, "Not a valid database URL"),
        ({"DEBUG": "perhaps"}, "Not a valid boolean"),
        ({"TOKEN_DAYS": "many"}, "TOKEN_DAYS"),
        ({"POSTS_PROVIDER_URL": "notaurl"}, "POSTS_PROVIDER_URL"),
        ({"POSTS_PROVIDER_URL": "ftp://127.0.0.1/"}, "POSTS_PROVIDER_URL"),
        ({"POSTS_PROVIDER_URL": "http://127.0.0.1:abc"}, "POSTS_PROVIDER_URL"),
        ({"PAYMENTS_URL": "notaurl"}, "PAYMENTS_URL"),
        ({"PAYMENTS_URL": "ftp://127.0.0.1/"}, "PAYMENTS_URL"),
        ({"PAYMENTS_URL": "http://payments.example/"}, "PAYMENTS_URL must begin with https://"),
        ({"COUNTER_URL": "notaurl"}, "COUNTER_URL"),
        ({"COUNTER_URL": "https://counter.example/"}, "COUNTER_SECRET is what messages to COUNTER_URL are signed with"),
        ({"COUNTER_URL": "https://counter.example/", "COUNTER_SECRET": "whsec_c2hvcnQ="}, "at least 24 bytes"),
        ({"POSTS_PROVIDER_CONCURRENCY": "0"}, "POSTS_PROVIDER_CONCURRENCY"),
        ({"LOG_LEVEL": "nope"}, "LOG_LEVEL"),
        ({"TRUSTED_PROXIES": "everybody"}, "TRUSTED_PROXIES is a list of networks"),
        ({"RATE_LIMIT": "0"}, "RATE_LIMIT"),
        ({"STATEMENT_SECONDS": "0"}, "STATEMENT_SECONDS"),
        ({"ACCESS_MINUTES": "100000"}, "ACCESS_MINUTES"),
    ],
)
def test_missing_or_unsafe_settings_are_one_sentence(tmp_path: Path, change: dict[str, str | None], sentence: str):
    environment = {name: value for name, value in (GOOD | change).items() if value is not None}
    with pytest.raises((ImproperlyConfigured, EnvError), match=re.escape(sentence)):
        settings_of(tmp_path, **environment)


def test_empty_items_of_a_list_are_ignored(tmp_path: Path):
    """An empty key would be valid, and public."""
    key = "f" * 60
    lists = {"SECRET_KEY_FALLBACKS": f"{key}, ,", "ALLOWED_HOSTS": ",shop.example,", "TRUSTED_PROXIES": "10.0.0.0/8,"}
    settings = settings_of(tmp_path, **GOOD | lists)
    assert settings["SECRET_KEY_FALLBACKS"] == [key]
    assert settings["ALLOWED_HOSTS"] == ["shop.example"]
    assert list(map(str, settings["TRUSTED_PROXIES"])) == ["10.0.0.0/8"]


class TestFiles:
    """A secret may be a file."""

    def test_a_variable_is_read_from_the_file_of_its_file_variant(self, tmp_path: Path):
        key, address = tmp_path / "key", tmp_path / "address"
        key.write_text("k" * 60 + "\n")
        address.write_text("postgresql://u:p@127.0.0.1:1/d\n")
        variables = {name: value for name, value in GOOD.items() if name == "ALLOWED_HOSTS"}
        found = settings_of(tmp_path, **variables, SECRET_KEY_FILE=str(key), DATABASE_URL_FILE=str(address))
        assert found["SECRET_KEY"] == "k" * 60
        assert found["DATABASES"]["default"]["PASSWORD"] == "p"

    def test_the_database_password_may_be_a_separate_variable(self, tmp_path: Path):
        (tmp_path / "password").write_text("rotated/@:1\n")
        found = settings_of(tmp_path, **GOOD, DATABASE_PASSWORD_FILE=str(tmp_path / "password"))
        assert found["DATABASES"]["default"]["PASSWORD"] == "rotated/@:1"
        assert found["DATABASES"]["default"]["USER"] == "u"

    def test_a_variable_set_directly_and_by_file_is_refused(self, tmp_path: Path):
        (tmp_path / "key").write_text("k" * 60)
        with pytest.raises(ImproperlyConfigured, match="SECRET_KEY and SECRET_KEY_FILE are both set"):
            settings_of(tmp_path, **GOOD, SECRET_KEY_FILE=str(tmp_path / "key"))

    @pytest.mark.parametrize("content", [None, b"\xff\xfe"])
    def test_a_file_that_cannot_be_read_is_a_sentence_without_its_content(self, tmp_path: Path, content: bytes | None):
        if content:
            (tmp_path / "token").write_bytes(content)
        with pytest.raises(ImproperlyConfigured) as raised:
            settings_of(tmp_path, **GOOD, METRICS_TOKEN_FILE=str(tmp_path / "token"))
        assert str(raised.value) == "METRICS_TOKEN_FILE must name a file that can be read, in UTF-8."


@pytest.mark.parametrize("name", ["COUNTER_URL", "PAYMENTS_URL"])
def test_optional_variables_may_be_empty(tmp_path: Path, name: str):
    assert settings_of(tmp_path, **GOOD, **{name: ""})[name] == ""
    assert settings_of(tmp_path, **GOOD, DEBUG="true", **{name: ""})[name] == ""


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"ALLOWED_HOSTS": "*"}, {"LOG_LEVEL": "nope"}])
def test_a_refused_start_has_no_traceback(tmp_path: Path, change: dict[str, str]):
    run = manage(tmp_path, "check", **GOOD | change)
    assert run.returncode == 1
    assert run.stderr.startswith("Lockstep cannot start: ")
    assert next(iter(change)) in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_production_settings_pass_djangos_own_checks(tmp_path: Path):
    (tmp_path / "staticfiles.json").touch()
    complete = GOOD | {"STATIC_ROOT": str(tmp_path), "TRUSTED_PROXIES": "10.0.0.0/8"}
    run = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **complete)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "origins",
    [
        pytest.param("*", marks=pytest.mark.slow),
        pytest.param("app.example.com", marks=pytest.mark.faults),
        pytest.param("https://app.example.com/path", marks=pytest.mark.faults),
    ],
)
def test_origins_that_are_none_are_refused(tmp_path: Path, origins: str):
    run = manage(tmp_path, "check", "--deploy", **GOOD, CORS_ALLOWED_ORIGINS=origins)
    assert run.returncode == 1
    assert "CORS_ALLOWED_ORIGINS" in run.stderr


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("migrate", marks=pytest.mark.slow),
        pytest.param("import_data_from_api", marks=pytest.mark.faults),
        pytest.param("sync_with_fake_system", marks=pytest.mark.faults),
    ],
)
def test_a_database_that_does_not_answer_is_a_sentence(tmp_path: Path, command: str):
    run = manage(tmp_path, command, **GOOD)
    assert run.returncode == 1
    assert "The database does not answer" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_file_that_make_run_keeps_is_read_and_the_environment_wins(tmp_path: Path):
    (tmp_path / "environment").write_text("".join(f"{name}={value}\n" for name, value in GOOD.items()))
    settings = settings_of(tmp_path, ALLOWED_HOSTS="other.example")
    assert (settings["ALLOWED_HOSTS"], settings["DATABASES"]["default"]["NAME"]) == (["other.example"], "d")


def test_settings_of_a_run_elsewhere_are_found_by_naming_its_home(tmp_path: Path):
    with pytest.raises(ImproperlyConfigured) as refused:
        settings_of(tmp_path)
    assert f"keeps all settings in {tmp_path}/environment while it runs" in str(refused.value)
    assert "set LOCKSTEP_HOME to the same folder" in str(refused.value)


@pytest.mark.slow
def test_a_database_that_does_not_answer_names_the_home(tmp_path: Path):
    ended = manage(tmp_path, "showmigrations", **GOOD)
    assert ended.returncode == 1
    assert "set the same LOCKSTEP_HOME here" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_an_early_interrupt_is_no_traceback(tmp_path: Path):
    (tmp_path / "django").mkdir()
    interrupt = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"
    (tmp_path / "django" / "__init__.py").write_text(interrupt)
    ended = manage(tmp_path, "check", PYTHONPATH=str(tmp_path), **GOOD)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_the_example_explains_each_variable_once():
    example = re.findall(r"^# ([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    settings = (ROOT / "backend" / "config" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r"env\.\w+\(\s*\"([A-Z][A-Z_]+)\"", settings))
    assert len(read) > 40
    assert sorted(example) == sorted(set(example)), "a variable stands in .env.example twice"
    assert read - set(example) == set(), "a variable is missing from .env.example"
    assert set(example) - read == {"HOST", "WEB_PROCESSES", "WORKER_PROCESSES"}, (
        "a variable of .env.example is read by nothing"
    )


@pytest.mark.parametrize(
    ("environment", "accepted"),
    [
        ({}, True),
        ({"PAYMENTS_URL": "https://payments.example"}, False),
        ({"PAYMENTS_URL": "https://payments.example", "ORDERS_WITHOUT_PAYMENT": "true"}, True),
        ({"ORDERS_WITHOUT_PAYMENT": "false"}, False),
        ({"DEBUG": "true"}, True),
    ],
)
def test_orders_without_payment_end_with_a_gateway(tmp_path: Path, environment: dict[str, str], accepted: bool):
    assert settings_of(tmp_path, **GOOD | environment)["ORDERS_WITHOUT_PAYMENT"] is accepted


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"ALLOWED_HOSTS": "*"}, {"LOG_LEVEL": "nope"}])
def test_the_web_server_reports_a_wrong_setting_in_one_sentence(tmp_path: Path, change: dict[str, str]):
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PYTHON")}
    environment = kept | GOOD | {"LOCKSTEP_HOME": str(tmp_path)} | change
    load = [sys.executable, "-c", "import backend.config.asgi"]
    ended = subprocess.run(load, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Lockstep cannot start: ")
    assert next(iter(change)) in ended.stderr
    assert "Traceback" not in ended.stderr
