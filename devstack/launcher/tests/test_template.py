import ast
import multiprocessing
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from devstack.launcher import cluster, template
from devstack.launcher.environment import ROOT
from devstack.launcher.errors import PreparationFailed
from devstack.launcher.postgres import Server

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where templates are kept, with a mark instead of the seconds of migrating."""
    tmp_path.chmod(0o755)
    monkeypatch.setattr(template, "FOLDER", tmp_path / "templates")
    monkeypatch.setattr(template, "_migrate", mark)
    return template.FOLDER


def mark(url):
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE migrated ()")


def tables(place, database=template.TEST_DATABASE):
    with (
        Server(place, durable=False) as server,
        psycopg.connect(server.url, dbname=database) as connection,
    ):
        return [name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]


def test_copies_are_servers_with_a_migrated_test_database_and_one_to_copy_further(folder, tmp_path):
    template.copy_to(tmp_path / "a", tmp_path / "b")
    assert tables(tmp_path / "a") == tables(tmp_path / "b") == ["migrated"]
    assert tables(tmp_path / "a", cluster.DATABASE) == ["migrated"]


def test_a_template_is_built_once_and_replaced_when_the_schema_changes(folder, tmp_path, monkeypatch):
    template.copy_to(tmp_path / "first")
    (kept,) = folder.iterdir()
    template.copy_to(tmp_path / "second")
    assert list(folder.iterdir()) == [kept]
    (folder / "new-interrupted").mkdir()
    monkeypatch.setattr(template, "digest", lambda: "another")
    template.copy_to(tmp_path / "third")
    (instead,) = folder.iterdir()
    assert instead != kept


def test_failed_migrations_leave_no_template(folder, tmp_path, monkeypatch):
    def fail(url):
        raise PreparationFailed

    monkeypatch.setattr(template, "_migrate", fail)
    with pytest.raises(PreparationFailed):
        template.copy_to(tmp_path / "never")
    assert list(folder.iterdir()) == []


def test_commands_at_once_build_one_template(folder, tmp_path):
    several = multiprocessing.get_context("fork")
    commands = [several.Process(target=template.copy_to, args=[tmp_path / f"copy-{n}"]) for n in range(3)]
    for command in commands:
        command.start()
    for command in commands:
        command.join()
    assert [command.exitcode for command in commands] == [0, 0, 0]
    assert len(list(folder.iterdir())) == 1
    assert tables(tmp_path / "copy-2") == ["migrated"]


def test_a_folder_that_may_not_be_written_costs_a_template_for_each_command(folder, tmp_path):
    folder.write_text("a file where the folder should be")
    (tmp_path / "own").mkdir()
    template.copy_to(tmp_path / "own" / "a")
    assert tables(tmp_path / "own" / "a") == ["migrated"]


@pytest.mark.parametrize(
    "name", ["uv.lock", "backend/shop/migrations/0001_initial.py", "backend/shop/search/sql/x.sql"]
)
def test_the_digest_covers_all_sources_of_the_schema(tmp_path, name):
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    before = template.digest(tmp_path)
    file.write_text("one")
    first = template.digest(tmp_path)
    file.write_text("two")
    assert len({before, first, template.digest(tmp_path)}) == 3


def test_the_digest_knows_every_module_of_ours_that_a_migration_imports():
    known = {path for pattern in template.SCHEMA for path in ROOT.glob(pattern)}
    imported = {module for path in ROOT.glob("*/*/migrations/*.py") for module in imports(path)}
    assert imported
    assert {module for module in imported if Path(find_spec(module).origin) not in known} == set()


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in names if name.startswith(("lockstep.", "backend.")))
