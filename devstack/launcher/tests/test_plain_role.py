"""The role that everything connects as is no superuser, and links in a home lead nowhere else."""

import os
from pathlib import Path

import psycopg
import pytest

from devstack.launcher import account, cluster
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
