"""The how-tos for a project of one's own, line by line, each in the project that the tutorial begins."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.ports import free_port
from kit.waiting import eventually
from project.pages import Site, new_site

pytestmark = pytest.mark.extras  # the client of HTTP in destination.md is there only
HERE = Path(__file__).parent
WORKER = "python manage.py lockstep worker"
WRITE = "python manage.py shell -c \"from blog.models import Article; Article.objects.create(title='{}', body='x')\""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A project whose articles are captured: the tutorial, up to its subscribers."""
    with new_site(tmp_path, f"how_to_{os.getpid()}") as site:
        begun, _, _ = (HERE / "tutorial.md").read_text().partition("\n## 3. ")
        site.follow(begun, site.run)
        yield site


def status(site: Site) -> list[dict[str, Any]]:
    """The status of each subscription."""
    return json.loads(site.run("python manage.py lockstep status --json"))


def test_every_line_about_a_subscriber_does_what_it_says(site: Site):
    site.follow((HERE / "subscriber.md").read_text(), site.run)
    assert "Listed\n" in (site.folder / "titles.txt").read_text()
    assert "blog.list_title" in "\n".join(site.output)


def test_every_line_about_a_destination_does_what_it_says(site: Site):
    page = (HERE / "destination.md").read_text().replace("8765", str(free_port()))
    received = site.folder / "crm.txt"
    servers: list[subprocess.Popen[bytes]] = []

    def execute(command: str) -> None:
        if command == "python crm.py":
            servers.append(subprocess.Popen([sys.executable, "crm.py"], cwd=site.folder))
        elif command == WORKER:
            is_told = "204 /articles/1 To the CRM\n"
            site.work(lambda: received.exists() and is_told in received.read_text(), '"dead": 1')
        elif command.endswith("lockstep rewind blog.index --all"):
            site.run(command)
            site.work(lambda: all(row["behind"] + row["waiting"] == 0 for row in status(site)))
        else:
            site.run(command)

    try:
        site.follow(page, execute)
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    lines = received.read_text().splitlines()
    assert lines.index("503 /articles/1 To the CRM") < lines.index("204 /articles/1 To the CRM")
    everything = "\n".join(site.output)
    assert "it answered 422" in everything
    assert "found [1]" in everything


@pytest.mark.needs("redis-server")
def test_every_line_about_celery_does_what_it_says(site: Site):
    """And what it says of a broker that is down."""
    page = (HERE / "celery.md").read_text().replace("6379", str(free_port()))
    words = site.folder / "words.txt"
    redis, processes = [""], []

    def start(command: str) -> "subprocess.Popen[bytes]":
        quiet = " --save '' --dir ." if command.startswith("redis-server") else ""
        process = subprocess.Popen([*shlex.split(command + quiet)], cwd=site.folder, env=site.environment)
        processes.append(process)
        return process

    def execute(command: str) -> None:
        if command.startswith("redis-server"):
            redis[0] = command
        if command.startswith(("redis-server", "celery")) or command == WORKER:
            start(command)
        else:
            site.run(command)

    def is_told(title: str, lines: int) -> None:
        eventually(lambda: words.exists() and len(words.read_text().splitlines()) >= lines, f"the task for {title}")

    try:
        site.follow(page, execute)
        is_told("To Celery", 1)
        assert words.read_text() == "created 1: 4 words (True)\n"
        processes[0].terminate()
        processes[0].wait()
        site.run(WRITE.format("Meanwhile"))
        eventually(lambda: "OperationalError" in str(status(site)) or "broker" in str(status(site)), "the status")
        start(redis[0])
        is_told("Meanwhile", 2)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def test_every_command_of_the_upgrade_succeeds(site: Site):
    site.follow((HERE / "upgrade.md").read_text(), site.run)
    eventually(lambda: "blog.article: rows = log" in "\n".join(site.output), "the audit")
