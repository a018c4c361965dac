"""The manifests: valid, as safe as they should be, and running."""

import asyncio
import ipaddress
import re
import runpy
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from lockstep.delivery.destinations.addresses import may_be_reached
from lockstep.delivery.probes import Probes
from lockstep.rest.server.application import HEALTH, READINESS
from tests.acceptance.running import free_port
from tests.images.client import Client
from tests.images.engine import HARDENED, IMAGE, OTHERS, ROOT, Engine, run
from tests.support import eventually

pytestmark = pytest.mark.needs("containers")

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("staging", "production")
COMPONENTS = FOLDER / "components"
GUIDE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
# What the operator of Prometheus adds to a cluster; nothing here has its schema.
OWN_SCHEMA = {"ServiceMonitor", "PrometheusRule"}
PODS = ("lockstep-web-pod-0", "lockstep-worker-pod-0")  # by podman
Document = dict[str, Any]


def documents(overlay: str) -> list[Document]:
    return built(FOLDER / "overlays" / overlay)


def built(folder: Path) -> list[Document]:
    return list(yaml.safe_load_all(run("kubectl", "kustomize", folder)))


def of_kind(found: list[Document], *kinds: str) -> list[Document]:
    return [one for one in found if one["kind"] in kinds]


def named(found: list[Document], kind: str, name: str) -> Document:
    [one] = [one for one in of_kind(found, kind) if one["metadata"]["name"] == name]
    return one


def pods(found: list[Document]) -> list[Document]:
    """What web, worker and the migrations run as."""
    specs = [one["spec"]["template"]["spec"] for one in of_kind(found, "Deployment", "Job")]
    assert len(specs) == 3
    return specs


def settings_of(found: list[Document]) -> dict[str, str]:
    [one] = [one for one in of_kind(found, "ConfigMap") if "ALLOWED_HOSTS" in one["data"]]
    return one["data"]


def judged(manifest: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """By the schema of the API; unknown fields are faults."""
    file = folder / "manifest.yaml"
    file.write_text(manifest)
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", file]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("overlay", "number"), [("staging", 13), ("production", 14)])
def test_they_are_valid(overlay: str, number: int, tmp_path: Path):
    known = [one for one in documents(overlay) if one["kind"] not in OWN_SCHEMA]
    assert len(known) == number
    done = judged(yaml.safe_dump_all(known), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("fault", ["readOnlyRootFileSystem", "revisionLimit"])
def test_a_planted_fault_is_found(fault: str, tmp_path: Path):
    right = {"readOnlyRootFileSystem": "readOnlyRootFilesystem:", "revisionLimit": "revisionHistoryLimit:"}[fault]
    known = yaml.safe_dump_all(of_kind(documents("production"), "Deployment"))
    assert right in known
    done = judged(known.replace(right, f"{fault}:"), tmp_path)
    assert done.returncode != 0
    assert fault in done.stdout + done.stderr


def read_by_the_client(manifest: str) -> str:
    """What kubectl cannot read as the types of the API, by a dry run that needs no server; "" when it reads all."""
    command = ["kubectl", "set", "image", "--local", "--dry-run=client", "--filename=-", "--output=name", "*=another"]
    done = subprocess.run(command, input=manifest, capture_output=True, text=True, check=False)
    # It also says of each kind without containers that it has none.
    faults = "\n".join(line for line in done.stderr.splitlines() if "unable to decode" in line)
    assert faults or {"deployment.apps/lockstep-web", "job.batch/lockstep-migrate"} < set(done.stdout.split())
    return faults


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_own_client_reads_them_and_finds_a_planted_fault(overlay: str):
    known = yaml.safe_dump_all(one for one in documents(overlay) if one["kind"] not in OWN_SCHEMA)
    assert read_by_the_client(known) == ""
    for right, wrong in (
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: often"),
        ("containerPort: 8000", "containerPort: web"),
    ):
        assert right in known
        assert "cannot unmarshal" in read_by_the_client(known.replace(right, wrong))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_pods_are_as_restricted_as_the_image_allows(overlay: str):
    for pod in pods(documents(overlay)):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["args"][0] in ("web", "worker", "migrate")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_is_in_them(overlay: str):
    found = documents(overlay)
    assert not of_kind(found, "Secret")
    settings = settings_of(found)
    assert not {name for name in settings if "SECRET" in name or "PASSWORD" in name or "TOKEN" in name}
    assert urlsplit(settings["DATABASE_URL"]).password is None


def test_a_web_server_drains_before_it_is_killed():
    found = documents("production")
    web = named(found, "Deployment", "lockstep-web")
    grace = web["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    last_requests = 5
    assert float(settings_of(found)["WEB_DRAIN_SECONDS"]) + last_requests < grace
    assert web["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_apply_leaves_the_number_of_pods_to_the_autoscaler(overlay: str):
    found = documents(overlay)
    for scaler in of_kind(found, "HorizontalPodAutoscaler"):
        deployment = named(found, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in deployment["spec"]
        assert scaler["spec"]["minReplicas"] == (1 if overlay == "staging" else 2)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_names_the_image_with_a_tag_and_the_base_names_none(overlay: str):
    images = {container["image"] for pod in pods(documents(overlay)) for container in pod["containers"]}
    [image] = images
    assert re.fullmatch(r"registry\.example/lockstep:\d+\.\d+\.\d+", image)
    assert {pod["containers"][0]["image"] for pod in pods(built(FOLDER / "base"))} == {"lockstep:unset"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_request_paths_that_the_processes_serve(overlay: str):
    ports = dict(re.findall(r"(\bPORT|WORKER_METRICS_PORT)=(\d+)", (ROOT / "deploy" / "Dockerfile").read_text()))
    found = documents(overlay)
    settings = settings_of(found)
    for name, variable in (("web", "PORT"), ("worker", "WORKER_METRICS_PORT")):
        [container] = named(found, "Deployment", f"lockstep-{name}")["spec"]["template"]["spec"]["containers"]
        [port] = container["ports"]
        assert port["containerPort"] == int(settings.get(variable, ports[variable]))
        probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
        assert {probe["port"] for probe in probes.values()} == {port["name"]}
        assert probes["startup"]["path"] == probes["liveness"]["path"]
        health, readiness = probes["liveness"]["path"], probes["readiness"]["path"]
        if name == "web":
            assert health in HEALTH
            assert readiness in READINESS
        else:
            assert worker_asks(health) == ["complaint"]
            assert worker_asks(readiness) == ["complaint", "waits_for"]
        service = named(found, "Service", f"lockstep-{name}")
        assert [one["targetPort"] for one in service["spec"]["ports"]] == [port["name"]]


def worker_asks(path: str) -> list[str]:
    """What the worker's probes look at for this path."""
    looked: list[str] = []

    class Worker:
        def __getattr__(self, name: str) -> object:
            if name == "heartbeat":
                return SimpleNamespace(clock_offset=0.0)
            looked.append(name)
            return ""

    statuses: list[str] = []
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        probes = Probes(Worker(), loop)  # type: ignore[arg-type]
        probes({"PATH_INFO": path, "REQUEST_METHOD": "GET"}, lambda status, _: statuses.append(status))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert statuses == ["200 OK"], path
    return looked


# --- The database: its certificates, and a second role for the migrations -----------------------------------------


def test_the_authority_of_the_database_is_where_its_address_says():
    found = documents("production")
    address = settings_of(found)["DATABASE_URL"]
    assert "sslmode=verify-full" in address
    [file] = re.findall(r"sslrootcert=([^&]+)", address)
    [(name, key)] = re.findall(r"create configmap (\S+) --from-file=(\S+)", GUIDE)
    for pod in pods(found):
        [volume] = [one["name"] for one in pod["volumes"] if one.get("configMap", {}).get("name") == name]
        [mount] = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == volume]
        assert f"{mount['mountPath']}/{key}" == file
        assert mount["readOnly"] is True


def test_staging_has_a_database_of_its_own():
    addresses = [urlsplit(settings_of(documents(overlay))["DATABASE_URL"]) for overlay in OVERLAYS]
    assert len({one.hostname for one in addresses}) == len(OVERLAYS)
    assert len({one.query for one in addresses}) == 1


def test_the_migrations_alone_may_have_the_owner_of_the_tables():
    found = documents("production")
    sources = {
        pod["containers"][0]["args"][0]: [
            one["secretRef"] for one in pod["containers"][0]["envFrom"] if "secretRef" in one
        ]
        for pod in pods(found)
    }
    # The latter source wins.
    assert sources["migrate"] == [{"name": "lockstep"}, {"name": "lockstep-migrate", "optional": True}]
    assert sources["web"] == sources["worker"] == [{"name": "lockstep"}]


def test_the_guide_gives_secrets_by_files():
    section = GUIDE.partition("\n## Kubernetes\n")[2].partition("\n## ")[0]
    assert "--from-literal" not in section
    created = dict(re.findall(r"--from-file=([A-Z_]+)=(\S+)", section))
    made = runpy.run_path(str(ROOT / "deploy" / "make_secrets.py"))["MADE"]
    assert {"SECRET_KEY", "METRICS_TOKEN", "DATABASE_PASSWORD"} == set(created)
    assert {Path(file).name for file in created.values()} <= set(made)
    for words in ("createsuperuser", "import_data_from_api"):
        assert f"-- python -m backend {words}" in section


# --- What reaches the pods, and what they reach -------------------------------------------------------------------


def may_reach(policy: Document, address: str, port: int, protocol: str = "TCP") -> bool:
    """Whether a pod may send there, by the rules of a NetworkPolicy with addresses."""

    def by_port(rule: Document) -> bool:
        return "ports" not in rule or (port, protocol) in {
            (one["port"], one.get("protocol", "TCP")) for one in rule["ports"]
        }

    def by_address(rule: Document) -> bool:
        return "to" not in rule or any(within(address, one["ipBlock"]) for one in rule["to"])

    return any(by_port(rule) and by_address(rule) for rule in policy["spec"]["egress"])


def within(address: str, block: Document) -> bool:
    found = ipaddress.ip_address(address)
    return found in ipaddress.ip_network(block["cidr"]) and not any(
        found in ipaddress.ip_network(one) for one in block.get("except", ())
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "2606:4700::1", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.20.0.1"),
        *("192.168.1.1", "fd00::1", "fe80::1"),
    ],
)
def test_pods_reach_the_addresses_that_webhooks_may_have_and_no_others(overlay: str, address: str):
    policy = named(documents(overlay), "NetworkPolicy", "lockstep")
    assert [may_reach(policy, address, port) for port in (80, 443, 8443)] == [may_be_reached(address)] * 3


@pytest.mark.parametrize(
    ("address", "port", "protocol"),
    [
        ("10.0.0.5", 5432, "TCP"),
        ("10.0.0.5", 6432, "TCP"),
        ("10.96.0.10", 53, "UDP"),
        ("169.254.20.10", 53, "UDP"),
        ("169.254.20.10", 53, "TCP"),
    ],
)
def test_pods_reach_the_database_a_pooler_and_names(address: str, port: int, protocol: str):
    assert may_reach(named(documents("production"), "NetworkPolicy", "lockstep"), address, port, protocol)


def test_the_base_is_for_any_ingress_controller_and_the_component_for_one():
    base = named(built(FOLDER / "base"), "Ingress", "lockstep")
    assert "annotations" not in base["metadata"]
    assert "ingressClassName" not in base["spec"]
    found = documents("production")
    ingress = named(found, "Ingress", "lockstep")
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert {name.partition("/")[0] for name in ingress["metadata"]["annotations"]} == {"nginx.org"}
    assert ingress["metadata"]["annotations"]["nginx.org/keepalive"] == "0"  # docs/deployment.md, "A proxy of your own"
    web, _ = named(found, "NetworkPolicy", "lockstep")["spec"]["ingress"]
    [source] = web["from"]
    assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "nginx-ingress"}


# --- Figures, alerts, dashboards, and scaling by them -------------------------------------------------------------


def test_the_rules_are_those_of_deploy_prometheus():
    kept = (COMPONENTS / "monitoring" / "rules.yaml").read_text(encoding="utf-8")
    assert kept == runpy.run_path(str(FOLDER / "make_rules.py"))["manifest"](), "run deploy/kubernetes/make_rules.py"
    [rules] = of_kind(documents("production"), "PrometheusRule")
    groups = [
        group
        for name in ("recording.yaml", "alerts.yaml")
        for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / name).read_text())["groups"]
    ]
    assert rules["spec"]["groups"] == groups


def test_the_jobs_are_those_that_the_rules_select():
    found = documents("production")
    jobs = {}
    for monitor in of_kind(found, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        [service] = [one for one in of_kind(found, "Service") if wanted <= one["metadata"]["labels"].items()]
        [endpoint] = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {one["name"] for one in service["spec"]["ports"]}
        jobs[service["metadata"]["labels"][monitor["spec"]["jobLabel"]]] = "authorization" in endpoint
    configured = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    ours = {job["job_name"]: "authorization" in job for job in configured if job["job_name"] in ("web", "worker")}
    assert jobs == ours


def test_grafana_finds_the_dashboards():
    dashboards = named(documents("production"), "ConfigMap", "lockstep-dashboards")
    assert dashboards["metadata"]["labels"]["grafana_dashboard"] == "1"
    folder = ROOT / "deploy" / "grafana" / "dashboards"
    assert dashboards["data"] == {file.name: file.read_text() for file in folder.glob("*.json")}


def test_workers_are_scaled_by_cpu_and_with_the_component_by_waiting_changes():
    plain = named(built(FOLDER / "base"), "HorizontalPodAutoscaler", "lockstep-worker")["spec"]["metrics"]
    assert [one["type"] for one in plain] == ["Resource"]
    by_cpu, by_waiting = named(documents("production"), "HorizontalPodAutoscaler", "lockstep-worker")["spec"]["metrics"]
    assert [by_cpu] == plain
    [rule] = yaml.safe_load((COMPONENTS / "scale-by-waiting" / "adapter.yaml").read_text())["rules"]["external"]
    assert by_waiting["external"]["metric"] == {"name": rule["name"]["as"]}
    assert by_waiting["external"]["target"]["type"] == "AverageValue"  # for all workers together, divided by them
    # Once for all web servers, which each show what waits.
    assert rule["metricsQuery"] == "max(lockstep:subscription_waiting:sum)"


# --- Running ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {name: free_port() for name in ("database", "provider", "web", "worker")}


@pytest.fixture(scope="module")
def database(engine: Engine, ports: dict[str, int]) -> Iterator[str]:
    """Its address. On the network of this machine, like the pods."""
    password = secrets.token_urlsafe(12)
    words = [
        "--env",
        "POSTGRES_USER=lockstep",
        "--env",
        f"POSTGRES_PASSWORD={password}",
        OTHERS["POSTGRES_IMAGE"],
    ]
    server = ["postgres", "-c", f"port={ports['database']}"]
    engine.remove_at_end("container", "kubernetes-postgres")
    engine.podman("run", "--detach", "--replace", "--name=kubernetes-postgres", "--network=host", *words, *server)
    try:
        yield f"postgresql://lockstep:{password}@127.0.0.1:{ports['database']}/lockstep"
    finally:
        engine.podman("rm", "--force", "--time=0", "--volumes", "kubernetes-postgres")


@pytest.fixture(scope="module")
def playing(
    engine: Engine, database: str, ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """The Deployments of the production overlay, on podman; migrated before, as the Job does it."""
    settings = {
        "ALLOWED_HOSTS": "lockstep.example",
        "TRUSTED_PROXIES": "127.0.0.0/8",  # the test is the ingress
        "POSTS_PROVIDER_URL": f"http://127.0.0.1:{ports['provider']}",
        "PORT": str(ports["web"]),
        "WORKER_METRICS_PORT": str(ports["worker"]),
        "WEB_DRAIN_SECONDS": "0",
    }
    secret = {"SECRET_KEY": secrets.token_urlsafe(60), "METRICS_TOKEN": "figures", "DATABASE_URL": database}
    environment = [word for name, value in (settings | secret).items() for word in ("--env", f"{name}={value}")]
    hardened = (*HARDENED, "--network=host")
    provider = ["stand-in", "posts", f"--port={ports['provider']}"]
    [job] = of_kind(documents("production"), "Job")
    migrate = job["spec"]["template"]["spec"]["containers"][0]["args"]
    manifest = tmp_path_factory.mktemp("kubernetes") / "manifest.yaml"
    manifest.write_text(yaml.safe_dump_all(playable(settings | secret)))
    engine.remove_at_end("container", "kubernetes-provider")
    for pod in PODS:
        engine.remove_at_end("pod", pod)
    engine.podman("run", "--detach", "--replace", "--name=kubernetes-provider", *hardened, IMAGE, *provider)
    try:
        eventually(lambda: migrated(engine, *hardened, *environment, IMAGE, *migrate), "the migrations")
        engine.podman("run", "--rm", *hardened, *environment, IMAGE, "import_data_from_api")
        engine.podman("kube", "play", manifest)
        yield
    finally:
        engine.podman("pod", "rm", "--force", "--ignore", "--time=0", *PODS)
        engine.podman("rm", "--force", "--ignore", "--time=0", "kubernetes-provider")


def migrated(engine: Engine, *words: str) -> bool:
    try:
        engine.podman("run", "--rm", *words)
    except AssertionError as error:
        assert "does not answer" in str(error), error
        return False
    return True


def playable(settings: dict[str, str]) -> Iterator[Document]:
    """What podman plays of the overlay: one pod each, our image, without what this podman cannot do.

    Nor with the certificates of a database that has none.
    """
    for one in documents("production"):
        if one["kind"] == "ConfigMap" and "ALLOWED_HOSTS" in one["data"]:
            one["data"] |= settings  # with the secrets: it does not read a Secret that it has made itself
            yield one
        if one["kind"] == "Deployment":
            one["spec"]["replicas"] = 1
            pod = one["spec"]["template"]["spec"]
            pod["hostNetwork"] = True
            pod["volumes"] = [volume for volume in pod["volumes"] if volume["name"] != "database-ca"]
            for container in pod["containers"]:
                container["image"] = IMAGE
                container["envFrom"] = [source for source in container["envFrom"] if "configMapRef" in source]
                container["volumeMounts"] = [
                    mount for mount in container["volumeMounts"] if mount["name"] != "database-ca"
                ]
                for beyond in ("ports", "startupProbe", "livenessProbe", "readinessProbe"):
                    del container[beyond]
            yield one


@pytest.mark.usefixtures("playing")
def test_they_run_and_changes_are_delivered(ports: dict[str, int]):
    client, worker = Client(ports["web"], "lockstep.example"), Client(ports["worker"])
    for process, what in ((client, "the web server"), (worker, "the worker")):
        eventually(lambda process=process: answers(process, "/readyz") == 200, what)
    assert client.get("/fakeapi/v1/posts/").status_code == 301
    client.headers["X-Forwarded-Proto"] = "https"
    client.register("person").make_post("by kubernetes")
    provider = Client(ports["provider"])
    eventually(lambda: "by kubernetes" in provider.get("/posts?_start=100").text, "the post to arrive")
    [style] = [
        word for word in client.get("/admin/login/").text.split('"') if word.startswith("/static/admin/css/base.")
    ]
    assert client.get(style).status_code == 200
    assert client.get("/metrics", headers={"Authorization": "Bearer figures"}).status_code == 200
    assert "lockstep_delivery" in worker.get("/metrics").text


def answers(client: Client, path: str) -> int:
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return 0
