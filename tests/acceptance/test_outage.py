"""An outage as README.md and docs/backend.md try it: their commands, beside a running `make run`."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.running import ROOT, Run, free_port
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.needs("linux")]

MANAGE = ".venv/bin/python manage.py "


@pytest.fixture
def system(home: Path) -> Iterator[Run]:
    run = Run(home, free_port())
    run.until_ready()
    yield run
    run.end()


def commands(document: str) -> list[str]:
    """The commands below the heading "Try an outage"."""
    text = (ROOT / document).read_text(encoding="utf-8")
    section = text.partition("\n## Try an outage\n")[2].partition("\n## ")[0]
    return re.findall(r"^    (\S.*)$", section, re.MULTILINE)


def run_beside(system: Run, command: str, *more: str) -> str:
    """What a command says in another terminal, where only LOCKSTEP_HOME is set."""
    environment = {"PATH": os.environ["PATH"], "LOCKSTEP_HOME": str(system.home)}
    words = [*shlex.split(command), *more]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def posts_status(system: Run) -> dict[str, Any]:
    rows = json.loads(run_beside(system, f"{MANAGE}lockstep status", "--json"))
    return next(row for row in rows if row["name"] == "jsonplaceholder-mirror")


def test_outage_of_the_documents_lets_posts_wait_and_arrive(system: Run):
    readme, backend = commands("README.md"), commands("docs/backend.md")
    assert readme == backend[:2]
    provider = json.loads(run_beside(system, f"{MANAGE}sandbox status", "--json"))[0]["url"]
    # Longer than the documents' half a minute: a busy machine shall not see it end by itself.
    fault = readme[0].replace("--for 30s", "--for 10m")
    assert run_beside(system, fault) == "The stand-in provider answers 503, for 600 s.\n"
    assert "provider  " in run_beside(system, backend[2])
    headers = {"Authorization": f"Bearer {system.sign_in()}"}
    body = {"title": "Written in an outage", "body": "In step."}
    made = httpx.post(f"{system.url}/fakeapi/v1/posts/create/", json=body, headers=headers, trust_env=False)
    assert made.status_code == 201, made.text
    eventually(lambda: posts_status(system)["failing"], "the post to fail at the provider")
    assert "jsonplaceholder-mirror" in run_beside(system, readme[1])
    mend = next(command for command in backend if "sandbox mend" in command)
    assert run_beside(system, mend) == "1 fault of the stand-in provider ended.\n"

    def arrived() -> bool:
        titles = [post["title"] for post in httpx.get(f"{provider}/posts?userId=99999942", trust_env=False).json()]
        return body["title"] in titles

    eventually(arrived, "the post at the provider")
    for command in backend[backend.index(mend) + 1 :]:
        assert run_beside(system, command).startswith("The stand-in ")
    assert run_beside(system, f"{MANAGE}sandbox mend") != "There was no fault.\n"
