import pytest

from devstack.launcher.environment import read
from devstack.launcher.errors import BadSetting


def test_the_environment_precedes_the_file_and_a_blank_is_unset(tmp_path):
    (tmp_path / ".env").write_text("PORT=9000\nHOST=0.0.0.0\nCOUNTER_URL=http://a/\nDATABASE_URL=\n")
    environment = read({"PORT": " 9001", "HOST": " ", "PATH": "/bin"}, tmp_path)
    assert (environment.port, environment.host) == (9001, "0.0.0.0")
    assert environment.variables == {"PORT": "9001", "HOST": "0.0.0.0", "COUNTER_URL": "http://a/"}


def test_home_is_relative_to_the_project(tmp_path):
    assert read({}, tmp_path).home == tmp_path / ".lockstep"
    assert read({"LOCKSTEP_HOME": " x "}, tmp_path).home == tmp_path / "x"
    assert read({"LOCKSTEP_HOME": "/elsewhere"}, tmp_path).home.as_posix() == "/elsewhere"


@pytest.mark.parametrize("port", ["0", "-1", "65536", "http", "80.0"])
def test_a_port_that_is_none_is_refused_by_name(tmp_path, port):
    with pytest.raises(BadSetting, match=f"PORT={port} cannot be used"):
        read({"PORT": port}, tmp_path)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("localhost", "http://localhost:8000"),
    ],
)
def test_the_address_is_one_that_can_be_opened(tmp_path, host, address):
    assert read({"HOST": host}, tmp_path).address == address
