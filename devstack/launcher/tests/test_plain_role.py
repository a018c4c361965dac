"""The role that everything connects as is no superuser, in new homes and in those of earlier versions."""

import os
from pathlib import Path

import psycopg
import pytest

from devstack.launcher import account, cluster, plain_role
from devstack.launcher.account import Account
from devstack.launcher.errors import HomeNotWritable
from devstack.launcher.home import Home
from devstack.launcher.postgres import Server

SECRET = "/etc/shadow"
FORBIDDEN = [
    f"SELECT pg_read_file('{SECRET}')",
    f"SELECT pg_read_binary_file('{SECRET}')",
    f"SELECT pg_stat_file('{SECRET}')",
    "SELECT pg_ls_dir('/root')",
    f"CREATE TEMP TABLE t (line text); COPY t FROM '{SECRET}'",
    "COPY (SELECT 1) TO '/tmp/lockstep-written-by-postgres'",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "CREATE TEMP TABLE t (line text); COPY t FROM PROGRAM 'id'",
    f"SELECT lo_import('{SECRET}')",
    "CREATE EXTENSION file_fdw",
    "LOAD '/tmp/library.so'",
    "ALTER SYSTEM SET archive_command = 'id'",
    "CREATE ROLE another SUPERUSER",
    "ALTER ROLE lockstep SUPERUSER",
    "GRANT pg_read_server_files TO lockstep",
    f"SET ROLE {cluster.SUPERUSER}",
    f"SET SESSION AUTHORIZATION {cluster.SUPERUSER}",
    "SET session_replication_role = replica",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with Server(tmp_path_factory.mktemp("pg") / "data", durable=True) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_development_role_reads_no_file_runs_no_program_and_gains_no_right(server: Server, statement: str):
    with (
        psycopg.connect(server.url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


@pytest.mark.slow
def test_development_role_owns_its_database_and_has_what_is_needed(server: Server):
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
        connection.execute("SELECT system_identifier FROM pg_control_system()")
        connection.execute("CREATE DATABASE test_another")
        connection.execute("CHECKPOINT")


@pytest.mark.slow
def test_superuser_of_a_kept_cluster_cannot_connect(server: Server):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.superuser_url)


@pytest.fixture
def old_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A cluster as earlier versions made it: the role is its first superuser."""
    monkeypatch.setattr(cluster, "SUPERUSER", cluster.ROLE)
    monkeypatch.setattr(cluster, "creation", lambda password, durable: [f"CREATE DATABASE {cluster.DATABASE}"])
    tmp_path.chmod(0o711)
    with Server(tmp_path / "data", durable=True) as server:
        monkeypatch.undo()
        yield server


OLD_DATABASE = """
CREATE EXTENSION pg_trgm;
CREATE TABLE kept (id bigserial PRIMARY KEY, x text) PARTITION BY RANGE (id);
CREATE TABLE kept_rest PARTITION OF kept DEFAULT;
CREATE SEQUENCE numbers;
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE SCHEMA beside CREATE VIEW seen AS SELECT 1;
INSERT INTO kept (x) VALUES ('a');
"""


@pytest.mark.slow
def test_role_of_an_older_home_is_demoted_and_goes_on_at_the_same_address(old_server: Server):
    with psycopg.connect(old_server.url) as connection:
        connection.execute(OLD_DATABASE)
    assert old_server.make_role_plain()
    assert not old_server.make_role_plain()
    with psycopg.connect(old_server.url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT pg_read_file('{SECRET}')")
        connection.execute("INSERT INTO kept (x) VALUES ('b')")
        connection.execute(
            "ALTER TABLE kept ADD y int; ALTER SEQUENCE numbers OWNED BY kept.id; DROP SCHEMA beside CASCADE"
        )
        connection.execute("ALTER TABLE kept_rest SET (fillfactor = 90); DROP FUNCTION one()")
        assert connection.execute("SELECT string_agg(x, '' ORDER BY id) FROM kept").fetchone() == ("ab",)
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolsuper").fetchall()
        assert roles == [(cluster.SUPERUSER,)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(old_server.superuser_url)


@pytest.mark.slow
def test_interrupted_demotion_leaves_the_home_as_it_was(old_server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plain_role, "STATEMENTS", plain_role.STATEMENTS + "SELECT 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        old_server.make_role_plain()
    monkeypatch.undo()
    assert old_server.make_role_plain()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_targets_of_links_in_a_home_keep_their_owner(tmp_path: Path):
    data, secret = tmp_path / "data", tmp_path / "secret"
    (data / "base").mkdir(parents=True)
    (secret / "deep").mkdir(parents=True)
    (secret / "deep" / "key").write_text("x")
    (data / "base" / "file").symlink_to(secret / "deep" / "key")
    (data / "base" / "folder").symlink_to(secret)
    (data / "base" / "own").write_text("x")
    account.give(Account("nobody", 65534, 65534), data / "base" / "file")
    cluster.adopt(data, Account("nobody", 65534, 65534))
    assert (data / "base" / "own").stat().st_uid == data.stat().st_uid == 65534
    assert {path.stat().st_uid for path in (secret, secret / "deep", secret / "deep" / "key")} == {0}


def test_what_a_link_in_a_home_leads_to_is_not_written(tmp_path: Path):
    home, target = tmp_path / "home", tmp_path / "target"
    home.mkdir()
    target.write_text("important")
    (home / "lock").symlink_to(target)
    with pytest.raises(HomeNotWritable):
        Home(home).open("http://x")
    assert target.read_text() == "important"


def test_the_password_is_not_read_through_a_link(tmp_path: Path):
    (tmp_path / cluster.PASSWORD_FILE).symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic link"):
        cluster.read_password(tmp_path)


def test_linked_log_is_not_appended_to(tmp_path: Path):
    from devstack.launcher.children import Program, spawn

    target = tmp_path / "target"
    target.write_text("important")
    (tmp_path / "log").symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        spawn(Program("echo", lambda: ["echo", "x"], {}, tmp_path, log=tmp_path / "log"))
    assert target.read_text() == "important"
