"""Prometheus, Alertmanager and Grafana: their files by their own tools, and every expression on a live system."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.acceptance.running import Run, free_port
from tests.conftest import copied
from tests.images.client import Client
from tests.images.engine import ROOT, program
from tests.images.monitoring import (
    ALERTS,
    DEPLOY,
    RECORDING,
    RULES,
    WATCHDOG,
    Alerting,
    Watch,
    alerting,
    posting_to,
    replace,
    rules_of,
    watching,
)
from tests.support import eventually

pytestmark = pytest.mark.needs("prometheus")

TESTS = "tests.yaml"
DASHBOARDS = ("service", "subscription")
TOKEN = "figures-for-prometheus-alone"
SUBSCRIPTIONS = ("jsonplaceholder-mirror", "defects-counter")
SHORTENED = ("LockstepSubscriptionStopped", "LockstepNoWorker", "LockstepDatabaseDown")
# Expressions of dashboards that have nothing to show while all is well, and why.
EMPTY_WHILE_WELL = {
    'sum by (subscription, outcome) (rate(lockstep_delivery_attempts_total{outcome!~"delivered|skipped"}[1m]))':
        "an attempt is counted under a kind of failure once there was such a failure",
}  # fmt: skip
# Those that must be 0 while all is well: their counters are there from the worker's start.
ZERO_WHILE_WELL = ("lockstep_delivery_dead_letters_total", "lockstep_delivery_settlement_failures_total")


def tool(*words: str | Path) -> tuple[int, str]:
    """The exit code and what was said."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def dashboard_of(name: str) -> dict[str, Any]:
    return dict(json.loads((DEPLOY / "grafana" / "dashboards" / f"{name}.json").read_text()))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A copy of deploy/prometheus, whose token is there."""
    folder = tmp_path / "prometheus"
    shutil.copytree(RULES, folder)
    (tmp_path / "token").write_text(TOKEN)
    replace(folder / "prometheus.yaml", "/run/secrets/metrics_token", str(tmp_path / "token"))
    return folder


@pytest.fixture
def notifying(tmp_path: Path) -> Path:
    """The configuration of Alertmanager, with addresses in place of files."""
    file = tmp_path / "alertmanager.yaml"
    file.write_text(posting_to((DEPLOY / "alertmanager" / "alertmanager.yaml").read_text(), "http://127.0.0.1:1/"))
    return file


def test_the_configuration_is_right_and_a_fault_is_caught(config: Path):
    assert tool("promtool", "check", "config", config / "prometheus.yaml")[0] == 0
    replace(config / "prometheus.yaml", "scrape_interval", "scrape_intervall")
    code, said = tool("promtool", "check", "config", config / "prometheus.yaml")
    assert (code != 0, "scrape_intervall" in said) == (True, True)


def test_the_exporters_configuration_is_right_and_a_fault_is_caught(tmp_path: Path):
    file = tmp_path / "blackbox.yaml"
    shutil.copy(DEPLOY / "blackbox" / "blackbox.yaml", file)
    assert tool("prometheus-blackbox-exporter", "--config.check", f"--config.file={file}")[0] == 0
    replace(file, "valid_status_codes", "valid_status_cods")
    code, said = tool("prometheus-blackbox-exporter", "--config.check", f"--config.file={file}")
    assert (code != 0, "valid_status_cods" in said) == (True, True)


@pytest.mark.parametrize("file", [ALERTS, RECORDING])
def test_the_rules_are_right_and_a_fault_is_caught(config: Path, file: str):
    assert tool("promtool", "check", "rules", config / file)[0] == 0
    replace(config / file, "rate(", "rat(")
    code, said = tool("promtool", "check", "rules", config / file)
    assert (code != 0, 'unknown function with name "rat"' in said) == (True, True)


def test_every_rule_passes_its_tests_and_a_fault_is_caught(config: Path):
    code, said = tool("promtool", "test", "rules", config / TESTS)
    assert code == 0, said
    replace(config / ALERTS, 'lockstep_workers{state="moving"}) < 1', 'lockstep_workers{state="moving"}) < 2')
    keep_tests(config / TESTS, "LockstepNoWorker")  # all of them take 15 s
    code, said = tool("promtool", "test", "rules", config / TESTS)
    assert (code != 0, "LockstepNoWorker" in said) == (True, True)


def keep_tests(file: Path, alert: str) -> None:
    """Those of one alert."""
    tests = yaml.safe_load(file.read_text())
    tests["tests"] = [test for test in tests["tests"] if test["name"].startswith(alert)]
    file.write_text(yaml.safe_dump(tests))


def test_every_alert_is_seen_to_fire_and_not_to():
    fires: dict[str, set[bool]] = {}
    for test in yaml.safe_load((RULES / TESTS).read_text())["tests"]:
        for case in test.get("alert_rule_test", ()):
            fires.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert fires == {rule["alert"]: {True, False} for rule in rules_of(ALERTS)}


def test_every_alert_leads_to_its_page_and_every_page_has_an_alert():
    operations = (ROOT / "docs" / "operations.md").read_text()
    alarms = operations.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    pages = {anchor(title) for title in re.findall("(?m)^### (.+)$", alarms)}
    alerts = rules_of(ALERTS)
    assert {rule["annotations"]["runbook"] for rule in alerts} == {f"docs/operations.md#{page}" for page in pages}
    for rule in alerts:
        severities = ("none",) if rule["alert"] == WATCHDOG else ("critical", "warning")
        assert rule["labels"]["severity"] in severities
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}


def anchor(title: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_alertmanagers_configuration_is_right_and_a_fault_is_caught(notifying: Path):
    assert tool("amtool", "check-config", notifying)[0] == 0
    replace(notifying, "receiver: webhook", "receiver: webhooks")
    code, said = tool("amtool", "check-config", notifying)
    assert (code != 0, "webhooks" in said) == (True, True)


def test_what_alertmanager_names_are_alerts(notifying: Path):
    names = {rule["alert"] for rule in rules_of(ALERTS)}
    for rule in yaml.safe_load(notifying.read_text())["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            for pattern in matcher.partition("=")[2].strip('~"').split("|"):
                assert any(re.fullmatch(pattern, name) for name in names), pattern


def test_the_end_of_the_watchdog_is_no_sign_of_life(notifying: Path):
    receivers = {one["name"]: one["webhook_configs"] for one in yaml.safe_load(notifying.read_text())["receivers"]}
    assert [one["send_resolved"] for one in receivers["watchdog"]] == [False]


def test_the_rules_of_all_windows_are_the_same():
    families: dict[str, set[str]] = {}
    for rule in rules_of(RECORDING):
        if found := re.fullmatch(r"(lockstep:\w+:ratio_rate)(\w+)", rule["record"]):
            name, window = found.groups()
            assert set(re.findall(r"\[(\w+)\]", rule["expr"])) == {window}, rule["record"]
            families.setdefault(name, set()).add(rule["expr"].replace(f"[{window}]", "[window]"))
    assert families.keys() >= {"lockstep:request_errors:ratio_rate", "lockstep:late_deliveries:ratio_rate"}
    assert {name: len(expressions) for name, expressions in families.items()} == dict.fromkeys(families, 1)


def test_nothing_depends_on_the_names_of_instances():
    """They are other ones in each deployment; the jobs are the same in all."""
    texts = [rule["expr"] for file in (ALERTS, RECORDING) for rule in rules_of(file)]
    texts += [text for dashboard in DASHBOARDS for text in expressions(dashboard)]
    assert not [text for text in texts if re.search(r"instance\s*(=|!)", text)]


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerting]:
    with alerting(tmp_path_factory.mktemp("alertmanager")) as running:
        yield running


CONSEQUENCES = (
    *("LockstepRequestsFail", "LockstepRequestsSlow", "LockstepRequestBudgetBurnsFast", "LockstepNoWorker"),
    *("LockstepSettlementsFail", "LockstepMetricsMissing", "LockstepOldestChangeIsOld", "LockstepPeriodicWorkLate"),
    *("LockstepDefectsCounterWrong", "LockstepDeliveryBudgetBurnsFast", "LockstepDatabaseUnreachable"),
)
OTHERS = ("LockstepDeadLetters", "LockstepUnreachable", "LockstepTargetDown", "LockstepCertificateEnds", WATCHDOG)


def test_consequences_of_a_database_that_is_down_are_not_notified_beside_it(alertmanager: Alerting):
    alertmanager.post("LockstepDatabaseDown", *CONSEQUENCES, *OTHERS)
    states = eventually(lambda: alertmanager.states(1 + len(CONSEQUENCES) + len(OTHERS)), "all alerts to be known", 30)
    assert {name for name, state in states.items() if state == "suppressed"} == set(CONSEQUENCES)


def test_the_watchdog_has_a_receiver_of_its_own_which_is_notified_again_and_again(alertmanager: Alerting):
    alertmanager.post(WATCHDOG, "LockstepDeadLetters")
    eventually(lambda: alertmanager.received(WATCHDOG).count("watchdog") > 1, "the watchdog, twice", 60)
    eventually(lambda: "webhook" in alertmanager.received("LockstepDeadLetters"), "another alert", 60)
    assert set(alertmanager.received(WATCHDOG)) == {"watchdog"}
    assert set(alertmanager.received("LockstepDeadLetters")) == {"webhook"}


def test_the_dashboards_equal_the_generated_ones(tmp_path: Path):
    pytest.importorskip("grafana_foundation_sdk")
    subprocess.run([sys.executable, DEPLOY / "grafana" / "make_dashboards.py", tmp_path], check=True)
    for name in DASHBOARDS:
        kept = (DEPLOY / "grafana" / "dashboards" / f"{name}.json").read_text()
        assert (tmp_path / f"{name}.json").read_text() == kept, f"run deploy/grafana/make_dashboards.py: {name}.json"


def test_panels_have_numbers_of_their_own_and_the_provisioned_source():
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    for dashboard in map(dashboard_of, DASHBOARDS):
        numbers = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(numbers)) == len(numbers)
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                assert panel["datasource"]["uid"] == sources[0]["uid"], panel["title"]
                assert panel["targets"], panel["title"]


def test_monitoring_listens_on_loopback_alone_with_roots_that_cannot_be_written():
    services = production()["services"]
    monitoring = {name: service for name, service in services.items() if "monitoring" in service.get("profiles", ())}
    assert set(monitoring) == {"prometheus", "blackbox", "alertmanager", "grafana"}
    for service in monitoring.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert (service["read_only"], service["cap_drop"], service["restart"]) == (True, ["ALL"], "unless-stopped")
        assert service["deploy"]["resources"]["limits"]["memory"]
        for volume in service["volumes"]:
            source, _, options = volume.partition(":")
            assert not source.startswith(".") or ((ROOT / source).is_dir() and options.endswith(":ro"))


def test_compose_takes_the_profile():
    files = ("-f", "compose.yaml", "-f", "compose.production.yaml")
    done = subprocess.run(
        [program(), *files, "--profile", "monitoring", "config", "--services"],
        cwd=ROOT, env={**os.environ, "ALLOWED_HOSTS": "shop.example"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {"web", "worker", "prometheus", "alertmanager", "grafana"} <= set(done.stdout.split())


def production() -> dict[str, Any]:
    class Loader(yaml.SafeLoader):
        """Compose's own tags are of no interest here."""

    def plain(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> object:
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_scalar(node)  # type: ignore[arg-type]  # there is no other kind

    Loader.add_multi_constructor("!", plain)
    return dict(yaml.load((ROOT / "compose.production.yaml").read_text(), Loader))


# --- On a live system --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Live:
    """A system, and what reads it."""

    run: Run
    watch: Watch
    ports: Mapping[str, int]  # of the web server and of the worker's metrics

    def metrics(self, process: str) -> str:
        """The metrics of a process, as Prometheus reads them."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = httpx.get(f"http://127.0.0.1:{self.ports[process]}/metrics", headers=headers, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.text

    def manage(self, *words: str) -> None:
        """A command of manage.py on this system."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT, env=self.run.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def live(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("monitoring")
    web, worker = free_port(), free_port()
    run = Run(
        copied(first_home, folder / "home"), web, WORKER_METRICS_PORT=str(worker), METRICS_TOKEN=TOKEN
    )  # fmt: skip
    try:
        run.until_ready()
        targets = {"web": [f"127.0.0.1:{web}"], "worker": [f"127.0.0.1:{worker}"]}
        with watching(folder, targets, TOKEN, shortened=SHORTENED) as watch, traffic(web):
            yield Live(run, watch, {"web": web, "worker": worker})
    finally:
        run.end()


@contextmanager
def traffic(port: int) -> Iterator[None]:
    """A post, a defect, a search and a 404, again and again."""
    client = Client(port).sign_in("user", "1234")
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.wait(0.2):
            with suppress(httpx.HTTPError, AssertionError):  # in the outages that tests make
                client.make_post("watched")
                client.post("/api/defects", json={"comment": "watched"})
                client.get("/api/v1/movies/")
                client.get("/nothing-is-here")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        client.close()


def expressions(dashboard: str) -> Iterator[str]:
    """Every expression of a dashboard, as Grafana would ask it."""
    for panel in dashboard_of(dashboard)["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$__rate_interval", "1m")
            if "$subscription" not in text:
                yield text
            for subscription in SUBSCRIPTIONS if "$subscription" in text else ():
                yield text.replace("$subscription", subscription)


def test_all_targets_are_read(live: Live):
    def healths() -> dict[str, str]:
        return {one["labels"]["job"]: one["health"] for one in live.watch.asked("targets")["activeTargets"]}

    eventually(lambda: set(healths().values()) == {"up"}, "all targets to be up", 60)
    assert set(healths()) == {"web", "worker", "prometheus", "alertmanager"}


def test_every_rule_is_evaluated_without_an_error(live: Live):
    eventually(lambda: all(rule["health"] == "ok" for rule in live.watch.rules()), "every rule to be evaluated", 60)
    assert {rule["name"] for rule in live.watch.rules()} == {
        rule.get("alert") or rule["record"] for file in (ALERTS, RECORDING) for rule in rules_of(file)
    }
    for rule in live.watch.rules():
        live.watch.asked("query", query=rule["query"])


def test_every_recorded_figure_has_data(live: Live):
    for rule in rules_of(RECORDING):
        eventually(has_data(live, rule["record"]), rule["record"], 60)


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_every_expression_of_a_dashboard_has_data(live: Live, dashboard: str):
    for expression in expressions(dashboard):
        if expression not in EMPTY_WHILE_WELL:
            eventually(has_data(live, expression), expression, 60)
        elif live.watch.values(expression):
            pytest.fail(f"{expression} has data, though {EMPTY_WHILE_WELL[expression]}: something fails")
        if any(name in expression for name in ZERO_WHILE_WELL) and "ratio" not in expression:
            assert set(live.watch.values(expression)) == {0}, expression


def has_data(live: Live, expression: str) -> Callable[[], bool]:
    return lambda: bool(live.watch.values(expression))


def test_the_variable_lists_the_subscriptions(live: Live):
    [variable] = dashboard_of("subscription")["templating"]["list"]
    metric = re.fullmatch(r"label_values\((\w+), subscription\)", variable["query"])
    assert metric
    found = live.watch.asked("label/subscription/values", **{"match[]": metric[1]})
    assert set(SUBSCRIPTIONS) <= set(found)


def test_every_metric_that_is_named_is_there(live: Live):
    """Also of alerts that do not fire: a wrong name would never fire."""
    there = set(live.watch.asked("label/__name__/values"))
    named = {
        name
        for rule in live.watch.rules()
        for name in re.findall(r"\b(?:lockstep|prometheus|alertmanager)_\w+", rule["query"])
    }
    # There are no replication slots here, and no edge.
    assert named - there == {"lockstep_database_slot_retained_wal_bytes"}


@pytest.mark.parametrize("process", ["web", "worker"])
def test_names_and_help_of_metrics_follow_the_rules_of_prometheus(live: Live, process: str):
    text = live.metrics(process)
    code, said = lint(text)
    assert code == 0, said
    assert "lockstep_" in text
    code, said = lint(re.sub("(?m)^# HELP lockstep_.*\n", "", text))
    assert (code != 0, "no help text" in said) == (True, True)


def lint(text: str) -> tuple[int, str]:
    """What promtool says of metrics."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_watchdog_is_notified_while_all_is_well(live: Live):
    eventually(lambda: live.watch.told(WATCHDOG, "firing"), "the watchdog", 60)


def test_nothing_fires_while_all_is_well(live: Live):
    eventually(lambda: not live.watch.firing(), "nothing to fire", 60)


def test_a_subscription_that_is_stopped_is_notified_and_so_is_its_end(live: Live):
    live.manage("lockstep", "pause", "defects-counter", "--reason", "to see the alarm")
    alert = eventually(lambda: live.watch.told("LockstepSubscriptionStopped", "firing"), "the alarm", 60)[0]
    assert alert["labels"] == {
        "alertname": "LockstepSubscriptionStopped",
        "severity": "warning",
        "subscription": "defects-counter",
        "system": "lockstep",
    }
    assert alert["annotations"]["runbook"] == "docs/operations.md#a-subscription-stands-still"
    live.manage("lockstep", "resume", "defects-counter")
    eventually(lambda: live.watch.told("LockstepSubscriptionStopped", "resolved"), "its end", 60)


def test_a_worker_that_hangs_is_notified_and_so_is_its_end(live: Live):
    worker = live.run.find("manage.py lockstep worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        eventually(lambda: live.watch.told("LockstepNoWorker", "firing"), "the alarm", 90)
        assert live.watch.values('lockstep_workers{state="silent"}') == [1]
    finally:
        os.kill(worker, signal.SIGCONT)
    eventually(lambda: live.watch.told("LockstepNoWorker", "resolved"), "its end", 60)


def test_a_database_that_hangs_is_notified_while_the_metrics_of_requests_are_read(live: Live):
    """It takes connections and answers none, which is the worst kind of outage: nothing is refused."""
    frozen = [pid for pid, command in live.run.processes().items() if "postgres" in command.partition(" ")[0]]
    frozen += [pid for pid, command in live.run.processes().items() if command.startswith("postgres:")]
    assert frozen
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: live.watch.told("LockstepDatabaseDown", "firing"), "the alarm", 90)
        assert live.watch.values('up{job="web"}') == [1]
        assert live.watch.values("lockstep_workers") == []
        assert live.watch.values("lockstep_http_request_seconds_count")
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    eventually(lambda: live.watch.told("LockstepDatabaseDown", "resolved"), "its end", 60)
    eventually(lambda: not live.watch.firing(), "nothing to fire", 60)
