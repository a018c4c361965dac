"""Prometheus, Alertmanager and the blackbox exporter as processes, with the rules of deploy/, over a live system."""

import http.server
import json
import math
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.acceptance.running import free_port
from tests.images.engine import ROOT
from tests.support import eventually

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus"
ALERTS, RECORDING = "alerts.yaml", "recording.yaml"
WATCHDOG = "LockstepWatchdog"


@dataclass
class Watch:
    """Prometheus, and the receiver of its alerts."""

    client: httpx.Client
    notified: list[dict[str, Any]] = field(default_factory=list)

    def asked(self, path: str, **parameters: str) -> Any:
        """What Prometheus answers; one that cannot do it says why."""
        answer = self.client.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def values(self, expression: str) -> list[float]:
        """The values that there are; histograms without events have none."""
        found = self.asked("query", query=expression)["result"]
        return [value for series in found if not math.isnan(value := float(series["value"][1]))]

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with how they went."""
        return [rule for group in self.asked("rules")["groups"] for rule in group["rules"]]

    def firing(self) -> list[str]:
        """The names of alerts that fire, without the watchdog, which always does."""
        alerts = self.asked("alerts")["alerts"]
        firing = [one["labels"]["alertname"] for one in alerts if one["state"] == "firing"]
        return [name for name in firing if name != WATCHDOG]

    def told(self, alert: str, status: str) -> list[dict[str, Any]]:
        """The notifications of an alert that began or ended."""
        return [
            one
            for message in list(self.notified)
            for one in message["alerts"]
            if (one["labels"]["alertname"], one["status"]) == (alert, status)
        ]


@dataclass
class Alerting:
    """An Alertmanager without Prometheus, and what it posted."""

    client: httpx.Client
    notified: list[dict[str, Any]] = field(default_factory=list)

    def post(self, *alerts: str) -> None:
        """These alerts fire, each with the severity of its rule."""
        severity = {rule["alert"]: rule["labels"]["severity"] for rule in rules_of(ALERTS)}
        body = [{"labels": {"alertname": name, "severity": severity[name]}} for name in alerts]
        assert self.client.post("/api/v2/alerts", json=body).status_code == 200

    def states(self, number: int) -> dict[str, str]:
        """The state of each alert, once there are that many which are processed."""
        known = {one["labels"]["alertname"]: one["status"]["state"] for one in self.client.get("/api/v2/alerts").json()}
        return known if len(known) == number and "unprocessed" not in known.values() else {}

    def received(self, alert: str) -> list[str]:
        """The receivers that were notified of an alert, in that order."""
        return [
            message["receiver"]
            for message in list(self.notified)
            for one in message["alerts"]
            if one["labels"]["alertname"] == alert
        ]


@contextmanager
def alerting(folder: Path) -> Iterator[Alerting]:
    """Alertmanager with the configuration of deploy/, whose receivers are this process."""
    port, receiver = free_port(), free_port()
    adapt_alertmanager(folder, receiver)
    running = Alerting(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30))
    with (
        running.client,
        receiving(receiver, running.notified),
        process(folder, *alertmanager_command(folder, port)),
    ):
        eventually(lambda: answers(running.client), "Alertmanager to answer", 60)
        yield running


@contextmanager
def watching(
    folder: Path,
    targets: Mapping[str, Sequence[str]],
    token: str,
    *,
    shortened: Collection[str] = (),
    edge: str | None = None,
) -> Iterator[Watch]:
    """Reads the targets of each job every second; alerts that are `shortened` need not last. `edge` is a URL."""
    prometheus, alertmanager, blackbox, receiver = (free_port() for _ in range(4))
    targets = {
        **targets, "prometheus": [f"127.0.0.1:{prometheus}"], "alertmanager": [f"127.0.0.1:{alertmanager}"]
    }  # fmt: skip
    adapt_alertmanager(folder, receiver)
    adapt_prometheus(folder, targets, token, f"127.0.0.1:{alertmanager}", shortened)
    if edge:
        adapt_edge(folder, edge, f"127.0.0.1:{blackbox}")
    watch = Watch(httpx.Client(base_url=f"http://127.0.0.1:{prometheus}", trust_env=False, timeout=30))
    with ExitStack() as running:
        running.enter_context(watch.client)
        running.enter_context(receiving(receiver, watch.notified))
        running.enter_context(process(folder, *alertmanager_command(folder, alertmanager)))
        if edge:
            running.enter_context(process(folder, *blackbox_command(blackbox)))
        running.enter_context(process(folder, *prometheus_command(folder, prometheus)))
        eventually(lambda: answers(watch.client), "Prometheus to answer", 60)
        yield watch


def answers(client: httpx.Client) -> bool:
    """Whether it is there: Prometheus, or Alertmanager."""
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def rules_of(file: str) -> list[dict[str, Any]]:
    """All rules in a file of deploy/prometheus."""
    return [rule for group in yaml.safe_load((RULES / file).read_text())["groups"] for rule in group["rules"]]


def replace(file: Path, old: str, new: str) -> None:
    """Every occurrence; fails where there is none."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def adapt_prometheus(
    folder: Path, targets: Mapping[str, Sequence[str]], token: str, alertmanager: str, shortened: Collection[str]
) -> None:
    """Other addresses, a second between two scrapes; jobs without a target are left out."""
    for file in (ALERTS, RECORDING):
        shutil.copy(RULES / file, folder / file)
    (folder / "token").write_text(token)
    config = yaml.safe_load((RULES / "prometheus.yaml").read_text())
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    config["scrape_configs"] = [
        job | {"static_configs": [{"targets": list(targets[job["job_name"]])}]}
        for job in config["scrape_configs"]
        if job["job_name"] in targets
    ]
    for job in config["scrape_configs"]:
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(folder / "token")
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    rules = yaml.safe_load((folder / ALERTS).read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if rule["alert"] in shortened:
                rule["for"] = "1s"
    (folder / ALERTS).write_text(yaml.safe_dump(rules))


def adapt_edge(folder: Path, url: str, exporter: str) -> None:
    """The job that asks the edge, with another address of it and of the exporter."""
    [job] = [
        job
        for job in yaml.safe_load((RULES / "prometheus.yaml").read_text())["scrape_configs"]
        if job["job_name"] == "edge"
    ]
    job["static_configs"] = [{"targets": [url]}]
    job["relabel_configs"][-1]["replacement"] = exporter
    config = yaml.safe_load((folder / "prometheus.yaml").read_text())
    config["scrape_configs"].append(job)
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))


def adapt_alertmanager(folder: Path, receiver: int) -> None:
    """Another receiver, which does not wait for more alerts; the watchdog is repeated each second."""
    text = posting_to((DEPLOY / "alertmanager" / "alertmanager.yaml").read_text(), f"http://127.0.0.1:{receiver}/")
    text = re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", text)
    assert "repeat_interval: 5m" in text
    (folder / "alertmanager.yaml").write_text(text.replace("repeat_interval: 5m", "repeat_interval: 1s"))


def posting_to(config: str, url: str) -> str:
    """Alertmanager's configuration with one address in place of its files: Debian's version reads none."""
    changed, number = re.subn(r"url_file: /run/secrets/(alert|watchdog)_webhook", f"url: {url}", config)
    assert number == 2
    return changed


def prometheus_command(folder: Path, port: int) -> list[str]:
    return [
        "prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/figures",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip


def alertmanager_command(folder: Path, port: int) -> list[str]:
    return [
        "prometheus-alertmanager", f"--config.file={folder}/alertmanager.yaml", f"--storage.path={folder}/alerts",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip


def blackbox_command(port: int) -> list[str]:
    return [
        "prometheus-blackbox-exporter", f"--config.file={DEPLOY}/blackbox/blackbox.yaml",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip


@contextmanager
def process(folder: Path, *command: str) -> Iterator[None]:
    """The program, until the end; what it says is in its log."""
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with (
        (folder / f"{command[0]}.log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as running,
    ):
        try:
            yield
        finally:
            running.terminate()


@contextmanager
def receiving(port: int, notified: list[dict[str, Any]]) -> Iterator[None]:
    """Keeps what Alertmanager posts."""

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            notified.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
