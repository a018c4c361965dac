"""The tutorial, line by line: its files are written, its commands run, and what it says is there is there."""

import os
from pathlib import Path

import psycopg
import pytest
from project.pages import Site, new_site

pytestmark = pytest.mark.postgresql
TUTORIAL = Path(__file__).parent / "tutorial.md"


@pytest.fixture
def site(tmp_path: Path):
    with new_site(tmp_path, f"tutorial_{os.getpid()}") as site:
        yield site


def test_every_block_of_the_tutorial_runs(site: Site):
    def execute(command: str) -> None:
        if command == "python manage.py lockstep worker":
            site.work_until("updated Hello again by user:7\n")
        else:
            site.run(command)

    site.follow(TUTORIAL.read_text(), execute)
    assert site.changes().startswith("created Hello by user:7\nupdated Hello again by user:7\n")
    everything = "\n".join(site.output)
    assert "[('created', 'user:7'), ('updated', 'user:7')]" in everything
    assert "Rejected: there is no place for it" in everything
    assert "blog.article: rows = log" in everything
    assert "Would replay 1 change of 1 object" in everything
    assert "Would drop the trigger lockstep_capture_insert on public.blog_article." in everything
    with psycopg.connect(os.environ["DATABASE_URL"], dbname=site.database) as own:
        assert own.execute("SELECT count(*) FROM blog_article").fetchone() == (3,)
