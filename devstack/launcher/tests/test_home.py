import os
import socket
import subprocess
import sys

import pytest

from devstack.launcher import home
from devstack.launcher.errors import AlreadyRunning, BadSetting, HomeNotWritable, PortTaken
from devstack.launcher.home import Home, free_port, local_port, require_port


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_any_value_is_read_back_as_written(tmp_path):
    one = Home(tmp_path)
    values = {"A": "it's", "B": "back\\slash", "C": 'a "quote" # no comment', "D": "a=b$c"}
    one.write_environment(values)
    assert one.read_environment() == values
    assert one.environment_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["environment"]


def test_settings_read_it_in_the_same_way(tmp_path, monkeypatch):
    from environs import Env

    for name in ("LOCKSTEP_TEST_A", "LOCKSTEP_TEST_B"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)  # registers the removal of what read_env sets
    Home(tmp_path).write_environment({"LOCKSTEP_TEST_A": "it's", "LOCKSTEP_TEST_B": "back\\slash"})
    env = Env()
    env.read_env(tmp_path / "environment", recurse=False)
    assert (env.str("LOCKSTEP_TEST_A"), env.str("LOCKSTEP_TEST_B")) == ("it's", "back\\slash")


def test_a_damaged_environment_file_counts_as_none(tmp_path):
    (tmp_path / "environment").write_bytes(b"\xff\xfe\x00")
    assert Home(tmp_path).read_environment() == {}


def test_a_second_launcher_names_the_process_that_holds_the_home(tmp_path):
    script = "import sys; from devstack.launcher.home import Home; from pathlib import Path\n"
    script += "Home(Path(sys.argv[1])).open('http://second')"
    one = Home(tmp_path)
    one.open("http://first")
    assert home.is_locked(tmp_path / "lock")
    result = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert f"process {os.getpid()}, at http://first" in result.stderr
    with pytest.raises(AlreadyRunning, match="http://first"):
        Home(tmp_path).open("http://third")


def test_an_ended_launcher_holds_nothing(tmp_path):
    assert not home.is_locked(tmp_path / "lock")  # which is not there yet
    (tmp_path / "lock").write_text("1 http://long/ago\n")
    assert not home.is_locked(tmp_path / "lock")
    Home(tmp_path).open("http://now")
    assert "http://now" in (tmp_path / "lock").read_text()


def test_a_file_in_place_of_the_home_is_one_sentence(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeNotWritable, match="cannot be used as LOCKSTEP_HOME"):
        Home(tmp_path / "home").open("http://x")


def test_a_port_in_use_is_one_sentence_with_a_free_one(taken_port):
    with pytest.raises(PortTaken, match=f"PORT={taken_port + 1} make run"):
        require_port("127.0.0.1", taken_port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_a_sentence(host):
    with pytest.raises(BadSetting, match="HOST="):
        require_port(host, free_port())


def test_a_port_is_kept_unless_it_is_taken(taken_port):
    free = free_port()
    assert free_port(free) == free
    assert free_port(taken_port) != taken_port


def test_only_addresses_on_this_machine_have_a_port_to_keep():
    assert local_port("http://127.0.0.1:3001") == 3001
    assert local_port("postgresql://a:b@127.0.0.1:5433/x") == 5433
    assert local_port("https://example.org:443") is None
    assert local_port("") is None
    assert local_port("http://127.0.0.1:what") is None
