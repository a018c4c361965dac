"""The page about webhooks, line by line."""

import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import psycopg
import pytest
from kit.ports import free_port
from kit.waiting import WAIT_TIMEOUT, eventually
from project.pages import Site, new_site

pytestmark = pytest.mark.extras
PAGE = Path(__file__).parent / "webhooks-in-your-project.md"
LEFT = """
    SELECT relname::text FROM pg_class WHERE relname LIKE 'lockstep%' UNION ALL
    SELECT proname::text FROM pg_proc WHERE proname LIKE 'lockstep%' OR proname LIKE 'pgtrigger%'
"""
EXPECTED = """\
blog.article.created Hello
blog.article.updated Hello again
blog.article.deleted Hello again
"""
TESTED = "webhooks.test.created None\n"


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
    """Executes each command of the page."""

    def __init__(self, site: Site, ports: dict[str, str]) -> None:
        self.site, self.ports = site, ports
        self.running = Running(site)
        self.received = site.folder / "received.txt"

    def execute(self, command: str) -> None:
        if "runserver" in command:
            self.running.start(f"{command} --noreload")
            eventually(lambda: listens(self.ports["8000"]), "the server to listen")
        elif command.startswith("SECRET=whsec_… "):
            self.running.start(command.removeprefix("SECRET=whsec_… "))
            eventually(lambda: listens(self.ports["8765"]), "the receiver to listen")
        elif command.endswith("lockstep worker"):
            self.running.start(command)
            self.receives(EXPECTED)
        elif command.startswith("curl "):
            made = json.loads(self.site.run(command))
            self.site.environment |= {"SECRET": made["secret"], "ID": made["id"]}
        elif token := re.search(r"Generated token (\w+)", self.site.run(command)):
            self.site.environment["TOKEN"] = token[1]

    def receives(self, text: str) -> None:
        eventually(lambda: self.received.exists() and self.received.read_text() == text, text)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_line_of_the_page_does_what_it_says(tmp_path: Path):
    ports = {port: str(free_port()) for port in ("8000", "8765")}
    text = PAGE.read_text()
    for port, free in ports.items():
        text = text.replace(port, free)
    with new_site(tmp_path, f"webhooks_{os.getpid()}") as site:
        reader = Reader(site, ports)
        try:
            site.follow(text, reader.execute)
            url = f"http://127.0.0.1:{ports['8000']}/webhooks/$ID/test/"
            site.run(f'curl -s --fail -X POST {url} -H "Authorization: Token $TOKEN"')
            reader.receives(EXPECTED + TESTED)
        finally:
            reader.running.stop()
        output = site.run("python manage.py lockstep uninstall")
        assert "Dropped the table lockstep_webhooks_endpoint." in output
        with psycopg.connect(os.environ["DATABASE_URL"], dbname=site.database) as own:
            assert own.execute("SELECT count(*) FROM blog_article").fetchone() == (1,)
            assert own.execute(LEFT).fetchall() == []
