"""The profile `monitoring` in containers: Prometheus reaches every process and the edge, an alert goes its whole way.

Long forms: where names are resolved slowly they wait for minutes. Grafana's image cannot be made of Debian's packages;
its dashboards are asked of a live Prometheus in test_monitoring.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.images.engine import ROOT, Compose
from tests.images.monitoring import posting_to
from tests.images.production import Production
from tests.support import eventually

pytestmark = pytest.mark.faults

SERVICES = ("prometheus", "alertmanager", "blackbox")
WAIT_TIMEOUT = 240.0
RECEIVE = """
import http.server, sys

class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(204)
        self.end_headers()

http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Receiver).serve_forever()
"""


@pytest.fixture(scope="module")
def monitored(production: Production, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """With another receiver of alerts; Debian's Alertmanager reads no address from a file."""
    system = production.system
    system.engine.build_monitoring()
    folder = tmp_path_factory.mktemp("alertmanager")
    folder.chmod(0o755)
    config = (ROOT / "deploy" / "alertmanager" / "alertmanager.yaml").read_text()
    (folder / "alertmanager.yaml").write_text(posting_to(config, "http://alarms:8080/"))
    for name in ("alert_webhook", "watchdog_webhook"):
        (production.secrets / name).write_text("http://alarms:8080/")
    alarms = {"image": "${LOCKSTEP_IMAGE}", "entrypoint": ["python", "-c", RECEIVE]}
    services = {"alertmanager": {"volumes": [f"{folder}:/etc/lockstep:ro"]}, "alarms": alarms}
    (folder / "override.yaml").write_text(yaml.safe_dump({"services": services}))
    paths = [*system.paths, folder / "override.yaml"]
    monitored = Compose(system.engine, system.name, paths, system.environment)
    monitored("up", "--detach", "--no-deps", "--no-build", *SERVICES, "alarms")
    yield monitored
    monitored("rm", "--stop", "--force", *SERVICES, "alarms")


def test_prometheus_reaches_all_and_its_rules_are_in_force(monitored: Compose):
    try:
        eventually(lambda: not down(monitored), "all targets to be up", WAIT_TIMEOUT)
    except AssertionError as error:
        raise AssertionError(down(monitored)) from error
    groups = asked(monitored, "rules")["groups"]
    assert sum(len(group["rules"]) for group in groups) > 40
    [reached] = asked(monitored, "query?query=probe_success")["result"]
    assert reached["value"][1] == "1"


def test_an_alert_goes_its_whole_way(monitored: Compose):
    monitored.engine.podman("stop", "--time=10", monitored.container("worker-b"))
    try:
        eventually(lambda: "LockstepTargetDown" in monitored.logs("alarms"), "the alarm", WAIT_TIMEOUT)
    finally:
        monitored.engine.podman("start", monitored.container("worker-b"))


def down(system: Compose) -> list[str]:
    """The targets that Prometheus does not reach, and why."""
    try:
        active = asked(system, "targets?state=active")["activeTargets"]
    except AssertionError as error:
        return [f"Prometheus does not listen yet: {error}"[-300:]]
    assert len(active) == 7  # two web servers, two workers, the edge, Prometheus, Alertmanager
    return [f"{one['labels']['instance']}: {one['lastError']}" for one in active if one["health"] != "up"]


def asked(system: Compose, what: str) -> dict[str, Any]:
    """What Prometheus answers."""
    code = f"import urllib.request as u; print(u.urlopen('http://prometheus:9090/api/v1/{what}').read().decode())"
    data: dict[str, Any] = json.loads(system.inside("web", code))["data"]
    return data
