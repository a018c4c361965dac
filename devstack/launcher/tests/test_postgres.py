import os
import signal

import psycopg
import pytest

from devstack.launcher import cluster
from devstack.launcher.errors import DataDamaged, OtherVersion
from devstack.launcher.postgres import Server

pytestmark = pytest.mark.slow  # starts servers


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("pg") / "data", durable=False) as server:
        yield server


def value_of(server, query):
    with psycopg.connect(server.url) as connection:
        row = connection.execute(query).fetchone()
        assert row
        return row[0]


def test_it_speaks_utf8_utc_and_plain_order_on_loopback_alone(server):
    assert value_of(server, "SHOW server_encoding") == "UTF8"
    assert value_of(server, "SHOW timezone") == "UTC"
    assert value_of(server, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C"
    assert value_of(server, "SHOW listen_addresses") == "127.0.0.1"
    with psycopg.connect(server.superuser_url) as superuser:
        assert superuser.execute("SHOW unix_socket_directories").fetchone() == ("",)


def test_it_wants_the_password(server):
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url.replace(cluster.read_password(server.folder), "wrong"))


def test_it_comes_back_with_its_data_after_kill_and_after_stop(server):
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept (x int)")
    server.kill()
    server.start()
    assert value_of(server, "SELECT count(*) FROM kept") == 0
    server.stop()
    server.start()
    assert value_of(server, "SELECT count(*) FROM kept") == 0


def test_an_unfinished_cluster_is_created_again(tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    left = tmp_path / "data.new-abc"
    (left / "data").mkdir(parents=True)
    monkeypatch.setattr(cluster, "_initialize", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cluster.create(tmp_path / "data", None, durable=False)
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_of_another_version_is_not_changed(tmp_path):
    folder = tmp_path / "data"
    (folder / "global").mkdir(parents=True)
    for name, text in {"PG_VERSION": "15\n", cluster.PASSWORD_FILE: "x", "global/pg_control": ""}.items():
        (folder / name).write_text(text)
    with pytest.raises(OtherVersion, match=f"made by PostgreSQL 15; this one is {cluster.major_version()}"):
        cluster.examine(folder, tmp_path / "log")


def test_a_folder_without_a_cluster_is_not_changed(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("important")
    with pytest.raises(DataDamaged, match="PG_VERSION is missing"):
        Server(tmp_path / "data").start()
    assert (tmp_path / "data" / "mine.txt").read_text() == "important"


def test_a_process_id_of_another_process_is_discarded(tmp_path):
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path}\n")
    assert cluster.running_postmaster(tmp_path) is None
    cluster.clear_leftovers(tmp_path)
    assert not (tmp_path / "postmaster.pid").exists()


def test_a_living_postmaster_is_recognised(server):
    pid = cluster.running_postmaster(server.folder)
    assert pid
    assert cluster.clear_leftovers(server.folder) == 0
    os.kill(pid, signal.SIGCONT)  # alive still
