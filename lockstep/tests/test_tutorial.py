"""The tutorial, line by line: its files are written, its commands run, and what it says is there is there."""

import os
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest
from project.pages import BLOCK, Site, new_site

pytestmark = pytest.mark.postgresql
TUTORIAL = Path(__file__).parent / "tutorial.md"


@pytest.fixture
def site(tmp_path: Path):
    with new_site(tmp_path, f"tutorial_{os.getpid()}") as site:
        yield site


def test_every_block_of_the_tutorial_runs(site: Site):
    text = TUTORIAL.read_text()
    site.run("django-admin startproject site1 .")
    site.run("python manage.py startapp blog")
    output: list[str] = []
    for kind, body in BLOCK.findall(text):
        block = dedent(body).strip()
        if kind.startswith("file: "):
            site.write(kind, block)
        elif kind == "run":
            output += [site.run(command) for command in block.splitlines()]
        elif kind == "shell":
            output.append(site.run("python manage.py shell", block + "\n"))
            assert "[('created', 'user:7'), ('updated', 'user:7')]" in output[-1]
        elif kind == "worker":
            site.work_until("updated Hello again by user:7\n")
    assert site.changes().startswith("created Hello by user:7\nupdated Hello again by user:7\n")
    everything = "\n".join(output)
    assert "Rejected: there is no place for it" in everything
    assert "blog.article: rows = log" in everything
    assert "Would replay 1 change of 1 object" in everything
    assert "Would drop the trigger lockstep_capture_insert on public.blog_article." in everything
    with psycopg.connect(os.environ["DATABASE_URL"], dbname=site.database) as own:
        assert own.execute("SELECT count(*) FROM blog_article").fetchone() == (3,)
