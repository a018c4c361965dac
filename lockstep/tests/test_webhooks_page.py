"""The page about webhooks, line by line."""

import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest
from kit.ports import free_port
from kit.waiting import WAIT_TIMEOUT, eventually
from project.pages import BLOCK, Site, new_site

pytestmark = pytest.mark.extras
PAGE = Path(__file__).parent / "webhooks-in-your-project.md"
LEFT = """
    SELECT relname::text FROM pg_class WHERE relname LIKE 'lockstep%' UNION ALL
    SELECT proname::text FROM pg_proc WHERE proname LIKE 'lockstep%' OR proname LIKE 'pgtrigger%'
"""
EXPECTED = "blog.article.created Hello\nblog.article.updated Hello again\n"


class Running:
    """Programs in the background, which end with the test."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.programs: list[subprocess.Popen[bytes]] = []

    def start(self, command: str) -> None:
        started = subprocess.Popen(f"exec {command}", shell=True, cwd=self.site.folder, env=self.site.environment)
        self.programs.append(started)

    def stop(self) -> None:
        for program in self.programs:
            program.terminate()
            program.wait(WAIT_TIMEOUT)


def listens(port: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(port))) == 0


class Reader:
    """Does what each block of the page says."""

    def __init__(self, site: Site, ports: dict[str, str]) -> None:
        self.site, self.ports = site, ports
        self.running = Running(site)
        self.received = site.folder / "received.txt"

    def do(self, kind: str, block: str) -> None:
        if kind.startswith("file: "):
            self.site.write(kind, block)
        else:
            getattr(self, f"do_{kind}")(block)

    def do_run(self, block: str) -> None:
        for command in block.splitlines():
            if token := re.search(r"Generated token (\w+)", self.site.run(command)):
                self.site.environment["TOKEN"] = token[1]

    def do_shell(self, block: str) -> None:
        self.site.run("python manage.py shell", block + "\n")

    def do_server(self, block: str) -> None:
        self.running.start(f"{block} --noreload")
        eventually(lambda: listens(self.ports["8000"]), "the server to listen")

    def do_register(self, block: str) -> None:
        self.site.environment["SECRET"] = json.loads(self.site.run(block))["secret"]

    def do_receiver(self, block: str) -> None:
        self.running.start(block.removeprefix("SECRET=whsec_… "))
        eventually(lambda: listens(self.ports["8765"]), "the receiver to listen")

    def do_deliver(self, block: str) -> None:
        self.running.start(block)
        eventually(lambda: self.received.exists() and self.received.read_text() == EXPECTED, "both messages")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_line_of_the_page_does_what_it_says(tmp_path: Path):
    ports = {port: str(free_port()) for port in ("8000", "8765")}
    text = PAGE.read_text()
    for port, free in ports.items():
        text = text.replace(port, free)
    with new_site(tmp_path, f"webhooks_{os.getpid()}") as site:
        site.run("django-admin startproject site1 .")
        site.run("python manage.py startapp blog")
        reader = Reader(site, ports)
        try:
            for kind, body in BLOCK.findall(text):
                reader.do(kind, dedent(body).strip())
        finally:
            reader.running.stop()
        output = site.run("python manage.py lockstep uninstall")
        assert "Dropped the table lockstep_webhooks_endpoint." in output
        with psycopg.connect(os.environ["DATABASE_URL"], dbname=site.database) as own:
            assert own.execute("SELECT count(*) FROM blog_article").fetchone() == (2,)
            assert own.execute(LEFT).fetchall() == []
