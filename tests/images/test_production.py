"""Production's shape: nginx → two web servers → PostgreSQL, two workers, secrets as files."""

import json

import pytest

from tests.images.client import Client, listed
from tests.images.engine import Compose
from tests.images.production import HOST, Production
from tests.support import eventually


@pytest.fixture(scope="module")
def system(production: Production) -> Compose:
    return production.system


@pytest.fixture
def client(production: Production) -> Client:
    return production.client()


@pytest.fixture(scope="module")
def person(production: Production) -> Client:
    return production.register("person")


def test_a_post_goes_in_by_tls_and_arrives(production: Production, person: Client):
    person.make_post("by tls")
    eventually(lambda: "by tls" in production.at_provider(), "the post to arrive")


def test_http_is_sent_to_https_and_probes_are_not(production: Production, client: Client):
    plain = Client(production.http, HOST)
    answer = plain.get("/fakeapi/v1/posts/")
    assert (answer.status_code, answer.headers["Location"]) == (301, f"https://{HOST}/fakeapi/v1/posts/")
    assert plain.get("/healthz").json() == {"status": "ok"}
    assert client.get("/healthz").status_code == 200
    assert client.get("/metrics").status_code == 404


def test_there_is_no_development_account(client: Client):
    for username, password in (("user", "1234"), ("admin", "12345")):
        assert client.post("/auth/", json={"username": username, "password": password}).status_code == 401


def test_the_admin_has_its_styles_which_may_be_kept_for_ever(client: Client):
    page = client.get("/admin/login/").text
    [style] = [word for word in page.split('"') if word.startswith("/static/admin/css/base.")]
    answer = client.get(style)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "gzip"


def test_a_stream_is_not_buffered_on_the_way(system: Compose, client: Client, person: Client):
    code = (
        "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'backend.config.settings'; django.setup();"
        "from backend.accounts.models import User; User.objects.filter(username='watcher').update(is_staff=True)"
    )
    client.register("watcher")
    system.inside("web", code)
    with client.stream("GET", "/api/v1/changes/", headers={"Accept": "text/event-stream"}) as stream:
        parts, text = stream.iter_text(), ""
        while "id:" not in text:
            text += next(parts)
        person.make_post("streamed")
        while not any("streamed" in str(event) for event in listed(text)):
            text += next(parts)


def test_figures_of_web_and_worker_are_there_for_prometheus(system: Compose):
    token = "{'Authorization': 'Bearer ' + open('/run/secrets/metrics_token').read()}"
    code = "import urllib.request as u; print(u.urlopen(u.Request('http://127.0.0.1:{}', headers={})).read().decode())"
    assert "lockstep_http_request_seconds_count" in system.inside("web", code.format("8000/metrics", token))
    assert "lockstep_delivery_attempts_total" in system.inside("worker", code.format("9000/metrics", "{}"))
    assert '"ok"' in system.inside("worker-b", code.format("9000/readyz", "{}"))


def test_log_lines_are_json_with_the_request_and_no_secret(production: Production, system: Compose, client: Client):
    answer = client.get("/fakeapi/v1/posts/?token=never-to-be-logged")
    lines = [json.loads(line) for name in ("web", "web-b") for line in system.logs(name).splitlines() if line[0] == "{"]
    assert answer.headers["X-Request-ID"] in [line.get("trace") for line in lines]
    for name in ("web", "web-b", "worker", "prepare", "nginx"):
        log = system.logs(name)
        assert "never-to-be-logged" not in log
        for file in ("secret_key", "database_password", "metrics_token"):
            assert (production.secrets / file).read_text() not in log


@pytest.mark.parametrize("service", ["web-b", "worker-b"])
def test_it_ends_within_ten_seconds_of_sigterm(production: Production, system: Compose, service: str):
    system.engine.podman("stop", "--time=10", system.container(service))  # after which it would be killed: 137
    assert system.engine.inspect(system.container(service))["State"]["ExitCode"] == 0
    system.engine.podman("start", system.container(service))
    eventually(lambda: production.health(service) == "ok", "it to be back")


def test_the_first_administrator_is_made_and_the_deployment_is_fit(system: Compose, client: Client):
    name = f"{system.name}-web-1"
    words = ["exec", "--env", "DJANGO_SUPERUSER_PASSWORD=a long one of its own", name, "python", "-m", "backend"]
    system.engine.podman(*words, "createsuperuser", "--no-input", "--username=chief", "--email=chief@shop.example")
    assert client.sign_in("chief", "a long one of its own").get("/api/v1/changes/").status_code == 200
    # That its role owns the tables is a warning; what is an error fails here.
    system.manage("web", "check", "--deploy", "--database", "default")


def test_processes_are_as_small_as_they_should_be(system: Compose):
    for service, most in (("web", 130), ("worker", 150)):
        # Of the process that works, which is the largest; resident, with what it shares.
        code = (
            "import pathlib; print(*(line.split()[1] for file in pathlib.Path('/proc').glob('[0-9]*/status')"
            " for line in file.read_text().splitlines() if line.startswith('VmRSS')))"
        )
        megabytes = max(int(word) for word in system.inside(service, code).split()) / 1024
        assert megabytes < most, service
