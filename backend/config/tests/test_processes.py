"""`python -m backend`: which word becomes which process, and what a health check says."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import backend.__main__ as processes
from backend import web_server
from devstack import sandbox
from devstack.launcher.home import free_port

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The programs that would have replaced this process."""
    programs: list[list[str]] = []
    for name in (
        "HOST",
        "PORT",
        "WEB_PROCESSES",
        "WEB_DRAIN_SECONDS",
        "WORKER_PROCESSES",
        "LOG_STREAM",
        "PROMETHEUS_MULTIPROC_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "execv", lambda path, words: programs.append(list(words)))
    monkeypatch.setattr(processes, "load_dotenv", lambda path: None)
    monkeypatch.setattr(processes, "require_fit", lambda host, port: None)
    monkeypatch.chdir(ROOT)
    yield programs
    for name in ("PROMETHEUS_MULTIPROC_DIR", "LOG_STREAM", *web_server.ENVIRONMENT):
        os.environ.pop(name, None)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["worker"], [str(ROOT / "manage.py"), "lockstep", "worker", "--processes", "1"]),
        (["migrate"], [str(ROOT / "manage.py"), "migrate"]),
        (["lockstep", "status", "--json"], [str(ROOT / "manage.py"), "lockstep", "status", "--json"]),
        (["prepare"], ["-m", "backend.prepare", "--token"]),
        (["stand-in", "movies", "--port=3003"], ["-m", "devstack.sandbox", "movies", "--port=3003"]),
    ],
)
def test_a_word_becomes_its_process(became: list[list[str]], words: list[str], arguments: list[str]):
    processes.main(words)
    assert became == [[sys.executable, *arguments]]


def test_every_stand_in_is_a_module_that_there_is():
    for module in sandbox.MODULES.values():
        assert (ROOT / module.replace(".", "/") / "__main__.py").is_file()


def test_the_web_server_has_a_process_for_each_core_and_metrics_of_all_of_them(
    became: list[list[str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(web_server, "cores", lambda: 3)
    processes.main(["web"])
    [program] = became
    assert {"--workers=3", "--host=127.0.0.1", "--port=8000", "--workers-kill-timeout=5"} <= set(program)
    assert Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).is_dir()
    assert os.environ["LOG_STREAM"] == "stdout"
    assert os.environ["MALLOC_MMAP_THRESHOLD_"] == "1048576"


def test_the_web_server_takes_its_settings_from_the_environment(
    became: list[list[str]], monkeypatch: pytest.MonkeyPatch
):
    for name, value in {"HOST": "0.0.0.0", "PORT": "81", "WEB_PROCESSES": "1", "WEB_DRAIN_SECONDS": "2.5"}.items():
        monkeypatch.setenv(name, value)
    processes.main(["web"])
    assert {"--workers=1", "--host=0.0.0.0", "--port=81", "--workers-kill-timeout=7.5"} <= set(became[0])
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


@pytest.mark.parametrize("word", ["web", "healthcheck"])
@pytest.mark.parametrize("port", ["http", "nan", "inf", "-1", "99999", "1.5"])
def test_an_invalid_port_is_one_sentence(
    became: list[list[str]], monkeypatch: pytest.MonkeyPatch, word: str, port: str
):
    monkeypatch.setenv("PORT", port)
    with pytest.raises(SystemExit, match=f"PORT must be a number from 1 to 65535, and '{port}' is none"):
        processes.main([word])
    assert became == []


@pytest.mark.parametrize(
    ("name", "values"),
    [("WEB_PROCESSES", ("0", "nan", "1e3", "257", "2.5")), ("WEB_DRAIN_SECONDS", ("-1", "nan", "inf", "301", "x"))],
)
def test_a_number_that_cannot_be_is_a_sentence(
    became: list[list[str]], monkeypatch: pytest.MonkeyPatch, name: str, values: tuple[str, ...]
):
    for value in values:
        monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit, match=f"{name} must be a number"):
            processes.main(["web"])


@pytest.mark.slow
@pytest.mark.parametrize("word", ["web", "prepare"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"SECRET_KEY_FILE": "/nonexistent"}, "SECRET_KEY_FILE must name a file that can be read"),
        ({"SECRET_KEY": "short"}, "at least 50 random characters"),
    ],
)
def test_settings_that_cannot_work_are_one_sentence(word: str, change: dict[str, str], sentence: str):
    assert_refused(word, change, sentence)


@pytest.mark.slow
@pytest.mark.parametrize("host", ["junk.invalid", "8.8.8.8", "256.1.1.1"])
def test_an_address_that_cannot_be_bound_is_one_sentence(host: str):
    assert_refused("web", {"HOST": host}, f"it cannot listen at HOST '{host}'")


@pytest.mark.slow
def test_a_port_in_use_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused("web", {"PORT": str(port)}, f"it cannot listen at HOST '127.0.0.1' and PORT {port}: Address")


@pytest.mark.slow
def test_a_database_that_cannot_be_used_is_one_sentence():
    """Before the web server starts: its processes would be started again, without end."""
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path="/no_such_database").geturl()
    assert_refused("web", {"DATABASE_URL": url, "DEBUG": "true"}, 'database "no_such_database" does not exist')


def assert_refused(word: str, change: Mapping[str, str], sentence: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PYTHON")}
    good = {"ALLOWED_HOSTS": "shop.example", "SECRET_KEY": "s" * 60, "DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    if "SECRET_KEY_FILE" in change:
        del good["SECRET_KEY"]
    environment = {**kept, "PORT": "0" if word != "web" else str(free_port()), **good, **change}
    command = [sys.executable, "-m", "backend", word]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Lockstep cannot start: ")
    assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", None), ("50000 100000", 1), ("150000 100000", 2), ("nonsense", None)]
)
def test_the_cores_of_a_container_are_those_of_its_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int | None
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))
    (tmp_path / "cpu.max").write_text(quota)
    assert web_server.cores(tmp_path / "cpu.max") == (expected or 6)
    assert web_server.cores(tmp_path / "none") == 6


@pytest.fixture
def probe() -> Iterator[dict[str, Any]]:
    """A server whose /healthz answers with `status`."""
    answers: dict[str, Any] = {"status": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers["path"] = self.path
            self.send_response(answers["status"])
            self.end_headers()
            self.wfile.write(b"the loop does not turn")

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        answers["port"] = str(server.server_address[1])
        yield answers
        server.shutdown()


@pytest.mark.parametrize(
    ("words", "variable", "path"),
    [
        ([], "PORT", "/healthz"),
        (["web"], "PORT", "/healthz"),
        (["web", "--ready"], "PORT", "/readyz"),
        (["worker"], "WORKER_METRICS_PORT", "/healthz"),
        (["worker", "--ready"], "WORKER_METRICS_PORT", "/readyz"),
    ],
)
def test_a_health_check_requests_the_process(
    probe: dict[str, Any],
    words: list[str],
    variable: str,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv(variable, probe["port"])
    assert processes.main(["healthcheck", *words]) == 0
    assert probe["path"] == path
    probe["status"] = 503
    assert processes.main(["healthcheck", *words]) == 1
    assert capsys.readouterr().err == "503 the loop does not turn\n"


def test_a_health_check_fails_where_no_process_listens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("WORKER_METRICS_PORT", "1")
    assert processes.main(["healthcheck", "worker"]) == 1
    assert "refused" in capsys.readouterr().err
    monkeypatch.setenv("WORKER_METRICS_PORT", "0")
    assert processes.main(["healthcheck", "worker"]) == 1
    assert "WORKER_METRICS_PORT: set one" in capsys.readouterr().err


@pytest.mark.slow
def test_no_argument_prints_the_usage_and_exits_2():
    ended = subprocess.run([sys.executable, "-m", "backend"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "healthcheck [web|worker]" in ended.stderr
