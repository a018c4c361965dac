"""Bad days in production's shape: each is a clear line, an alert that fires, and an end as the documents say."""

import errno
import json
import os
import random
import signal
import socket
import ssl
import string
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lockstep.tests.kit.programs import libfaketime
from tests.images.client import Client
from tests.images.engine import HARDENED, IMAGE, Compose
from tests.images.monitoring import Watch, watching
from tests.images.production import HOST, Production
from tests.support import eventually

PROCESSES = ("web", "web-b", "worker", "worker-b")
# Those that a day here makes fire; they need not last, as days here do not.
SHORTENED = (
    *("LockstepCertificateEnds", "LockstepClockWrong", "LockstepDatabaseDown", "LockstepProcessRestarts"),
    *("LockstepRequestsFail", "LockstepTargetDown", "LockstepUnreachable"),
)
WAIT_TIMEOUT = 90.0  # for an alarm, and for its end
FAKETIME = {"FAKETIME": "-1h", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "LD_PRELOAD": "/faketime.so"}


@pytest.fixture(scope="module")
def system(production: Production) -> Compose:
    return production.system


@pytest.fixture(scope="module")
def person(production: Production) -> Client:
    return production.register("steady")


@pytest.fixture(scope="module")
def watch(production: Production, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Monitoring over the processes in the containers, and over the edge."""
    addresses = {name: address_of(production, name) for name in PROCESSES}
    targets = {
        "web": [f"{addresses[name]}:8000" for name in ("web", "web-b")],
        "worker": [f"{addresses[name]}:9000" for name in ("worker", "worker-b")],
    }
    token = (production.secrets / "metrics_token").read_text()
    edge = f"https://127.0.0.1:{production.https}/healthz"
    folder = tmp_path_factory.mktemp("monitoring")
    with watching(folder, targets, token, shortened=SHORTENED, edge=edge) as watch:
        eventually(lambda: set(watch.values("up")) == {1.0}, "all to be read", WAIT_TIMEOUT)
        eventually(lambda: not watch.firing(), "nothing to fire", WAIT_TIMEOUT)
        yield watch


def address_of(production: Production, service: str) -> str:
    """In the network of the containers."""
    [network] = production.system.engine.inspect(production.system.container(service))["NetworkSettings"][
        "Networks"
    ].values()
    return str(network["IPAddress"])


@contextmanager
def alarm(watch: Watch, *names: str) -> Iterator[None]:
    """One of these alerts is notified by what happens in the block."""
    watch.notified.clear()
    yield
    eventually(lambda: [name for name in names if watch.told(name, "firing")], f"an alarm of {names}", WAIT_TIMEOUT)


def is_over(watch: Watch) -> None:
    """Everything is read again, and no alarm of these days is on."""
    eventually(lambda: set(watch.values("up")) == {1.0}, "all to be read", WAIT_TIMEOUT)
    lasting = {"LockstepProcessRestarts", "LockstepRequestsFail"}  # of the last minutes, by their own words
    eventually(lambda: not set(watch.firing()) & set(SHORTENED) - lasting, "every alarm to end", WAIT_TIMEOUT)


def arrives(production: Production, person: Client, title: str) -> None:
    """A post is taken, and delivered."""
    eventually(lambda: sent(person, title), f"{title} to be taken")
    eventually(lambda: title in production.at_provider(), f"{title} to arrive")


def sent(person: Client, title: str) -> bool:
    """Whether a post was made; the proxy may say that a web server is not there."""
    answer = person.post("/fakeapi/v1/posts/create/", json={"title": title, "body": "b"})
    assert answer.status_code in (201, 503), answer.text
    return answer.status_code == 201


def kill(system: Compose, service: str) -> None:
    """As the kernel does it; the engine starts it again."""
    before = system.engine.inspect(system.container(service))["State"]["Pid"]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: system.engine.inspect(system.container(service))["State"]["Pid"] not in (0, before), "a new one")


@pytest.mark.parametrize("service", ["worker-b", "web"])
def test_a_process_that_is_killed_again_and_again_is_back_each_time_and_nothing_is_lost(
    production: Production, system: Compose, person: Client, watch: Watch, service: str
):
    with alarm(watch, "LockstepProcessRestarts"):
        for n in range(4):
            kill(system, service)
            assert eventually(lambda n=n: sent(person, f"{n} while {service} is away"), "the other one to take a write")
            eventually(lambda: production.health(service) == "ok", "it to be ready")
            eventually(lambda: set(watch.values("up")) == {1.0}, "it to be read again", WAIT_TIMEOUT)
    for n in range(4):
        eventually(lambda n=n: f"{n} while {service} is away" in production.at_provider(), "the post to arrive")


def test_the_first_web_server_that_is_back_serves(production: Production, system: Compose, person: Client):
    """nginx refuses no request before a web server was tried, though both were dead a moment ago."""
    for service in ("web", "web-b"):
        kill(system, service)
    eventually(lambda: sent(person, "after both were away"), "one of them to take a write")
    assert '"upstream":"web"' not in system.logs("nginx")
    eventually(lambda: production.health("web") == production.health("web-b") == "ok", "both to be ready")


def test_a_database_that_is_stopped_and_started_is_waited_for(
    production: Production, system: Compose, person: Client, watch: Watch
):
    restarts = {name: system.engine.inspect(system.container(name))["RestartCount"] for name in PROCESSES}
    with alarm(watch, "LockstepDatabaseDown"):
        system.engine.podman("stop", "--time=20", system.container("postgres"))
        answer = person.get("/readyz")
        assert (answer.status_code, "database" in answer.text) == (503, True)
        eventually(lambda: watch.told("LockstepDatabaseDown", "firing"), "the alarm", WAIT_TIMEOUT)
    system.engine.podman("start", system.container("postgres"))
    arrives(production, person, "after the restart")
    for service in PROCESSES:
        eventually(lambda service=service: production.health(service) == "ok", f"{service} to be ready")
        assert system.engine.inspect(system.container(service))["RestartCount"] == restarts[service]
    assert "the database cannot be used, trying again" in system.logs("worker-b") + system.logs("worker")
    is_over(watch)


def test_a_disk_that_is_full_refuses_writes_and_loses_none(
    production: Production, system: Compose, person: Client, watch: Watch
):
    arrives(production, person, "before the disk was full")
    filler = production.disk / "filler"
    alarms = ("LockstepRequestsFail", "LockstepDatabaseDown")
    try:
        with alarm(watch, *alarms):
            fill(filler)
            refused = eventually(lambda: refusal(person), "a write to be refused", WAIT_TIMEOUT)
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
            # Others go on asking: one refusal alone is no alarm, six are.
            eventually(
                lambda: refusals(person) and any(watch.told(name, "firing") for name in alarms), "one", 3 * WAIT_TIMEOUT
            )
        assert "No space left on device" in system.logs("postgres")
    finally:
        filler.unlink(missing_ok=True)
    arrives(production, person, "after there was room again")
    assert "before the disk was full" in production.at_provider()
    eventually(production.is_drained, "all deliveries", 120)
    is_over(watch)


def fill(filler: Path) -> None:
    """Write until the disk has no room. How much that is changes meanwhile: the database writes too."""
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError) as refused:
        while True:
            file.write(bytes(2**20))
    assert refused.value.errno == errno.ENOSPC


def refusals(person: Client) -> bool:
    """Whether all of six writes are refused: at once, because each may take a request's whole time."""
    with ThreadPoolExecutor(6) as clients:
        return all(clients.map(lambda _: refusal(person), range(6)))


def refusal(person: Client) -> httpx.Response | None:
    """The answer to a large write, where it is no success."""
    body = "".join(random.choices(string.ascii_letters, k=90_000))
    answer = person.post("/fakeapi/v1/posts/create/", json={"title": "large", "body": body})
    return None if answer.status_code == 201 else answer


def test_an_expired_certificate_is_reported_and_replaced(
    production: Production, system: Compose, person: Client, watch: Watch
):
    good = {name: (production.secrets / "tls" / name).read_bytes() for name in ("certificate", "key")}
    with alarm(watch, "LockstepCertificateEnds"):
        put(production, ended_certificate(HOST))
        reload_nginx(system)
        eventually(lambda: "certificate has expired" in connecting(production), "clients to be refused", 30)
        eventually(lambda: watch.told("LockstepCertificateEnds", "firing"), "the alarm", WAIT_TIMEOUT)
    assert "It has ended" in watch.told("LockstepCertificateEnds", "firing")[-1]["annotations"]["description"]
    put(production, good)
    reload_nginx(system)
    eventually(lambda: connecting(production) == "", "clients to be served", 30)
    eventually(lambda: watch.told("LockstepCertificateEnds", "resolved"), "its end", WAIT_TIMEOUT)


def put(production: Production, files: Mapping[str, bytes]) -> None:
    """Each in the place of the one that is there, as whatever renews certificates does it."""
    for name, content in files.items():
        new = production.secrets / "tls" / f"{name}.new"
        new.write_bytes(content)
        new.chmod(0o444)
        new.replace(production.secrets / "tls" / name)


def reload_nginx(system: Compose) -> None:
    """As docs/deployment.md says it."""
    system("exec", "--no-TTY", "nginx", "nginx", "-s", "reload", "-c", "/etc/lockstep/nginx.conf")


def connecting(production: Production) -> str:
    """The error of a new client; "" when it is served. It trusts every issuer and checks the time."""
    context = ssl.create_default_context(cafile=str(production.certificate))
    try:
        with (
            socket.create_connection(("127.0.0.1", production.https), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=HOST),
        ):
            return ""
    except (ssl.SSLError, OSError) as error:
        return str(error)


def ended_certificate(host: str) -> dict[str, bytes]:
    """A certificate that ended yesterday, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now - timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"certificate": certificate.public_bytes(pem), "key": secret}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"DATABASE_PASSWORD_FILE": "/run/secrets/metrics_token"}, "password authentication failed"),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS"),
    ],
    ids=["a wrong secret", "a missing variable"],
)
def test_a_version_that_cannot_start_is_reported_while_the_other_serves(
    production: Production, system: Compose, person: Client, watch: Watch, tmp_path: Path,
    changed: dict[str, str], sentence: str,
):  # fmt: skip
    with alarm(watch, "LockstepTargetDown"), production.altered(tmp_path, {"web-b": {"environment": changed}}):
        eventually(lambda: sentence in system.logs("web-b"), "its sentence")
        arrives(production, person, f"while web-b has not {sentence}")
        eventually(lambda: watch.told("LockstepTargetDown", "firing"), "the alarm", WAIT_TIMEOUT)
    eventually(lambda: production.health("web-b") == "ok", "it to be ready")
    is_over(watch)


@pytest.mark.needs("libfaketime")
def test_a_clock_an_hour_behind_is_reported_and_does_no_harm(
    production: Production, system: Compose, person: Client, watch: Watch, tmp_path: Path
):
    behind = {"environment": FAKETIME, "volumes": [f"{libfaketime()}:/faketime.so:ro"]}
    with alarm(watch, "LockstepClockWrong"), production.altered(tmp_path, {"web-b": behind, "worker-b": behind}):
        for service in ("web-b", "worker-b"):
            eventually(lambda service=service: production.health(service) == "ok", "it to be ready")
            hour = "import time, datetime; print(time.time())"
            assert float(system.inside(service, hour)) < time.time() - 3_000
        for n in range(6):  # by both web servers in turn: what one signs, the other takes
            writer = production.register(f"late-{n}")
            arrives(production, writer, f"written at a wrong hour {n}")
        eventually(lambda: len(watch.told("LockstepClockWrong", "firing")) >= 1, "the alarm", WAIT_TIMEOUT)
    late = "SELECT count(*) FROM lockstep_change WHERE at < now() - interval '30 minutes' AND after ->> 'title' LIKE %s"
    assert production.sql(late.replace("%s", "'written at a wrong hour%'")) == [[0]]
    eventually(lambda: watch.told("LockstepClockWrong", "resolved"), "its end", WAIT_TIMEOUT)
    is_over(watch)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"DATABASE_PASSWORD_FILE": "/run/secrets/metrics_token"}, "password authentication failed"),
        ({"SECRET_KEY_FILE": "/run/secrets/nothing"}, "SECRET_KEY_FILE must name a file that can be read"),
        ({"STATIC_ROOT": "/nowhere"}, "The static files are missing in /nowhere"),
        ({"DATABASE_URL": "postgresql://lockstep@postgres:5432/another"}, 'database "another" does not exist'),
    ],
)
def test_a_setting_that_cannot_work_is_a_sentence_and_no_start(
    production: Production, system: Compose, changed: dict[str, str], sentence: str
):
    config = json.loads(system("config", "--format", "json"))["services"]["web"]["environment"]
    environment = [word for name, value in (config | changed).items() for word in ("--env", f"{name}={value}")]
    files = [f"--volume={file}:/run/secrets/{file.name}:ro" for file in production.secrets.iterdir() if file.is_file()]
    surroundings = (f"--network={system.name}_default", *files)
    with pytest.raises(AssertionError) as refused:
        system.engine.podman("run", "--rm", *HARDENED, *surroundings, *environment, IMAGE, "web")
    assert "Lockstep cannot start: " in str(refused.value)
    assert sentence in str(refused.value)
    assert "Traceback" not in str(refused.value)
