from pathlib import Path

from rich.console import Console

from devstack.launcher import banner
from devstack.launcher.environment import Environment

VALUES = {
    "DEBUG": "true",
    "DATABASE_URL": "postgresql://lockstep:secret@127.0.0.1:5433/lockstep",
    "POSTS_PROVIDER_URL": "http://127.0.0.1:3001",
    "PAYMENTS_URL": "http://127.0.0.1:3002",
    "COUNTER_URL": "http://127.0.0.1:8888",
    "MOVIES_PROVIDER_URL": "http://127.0.0.1:3003",
    "WEBHOOK_ALLOW_NETWORKS": "10.0.0.0/8",
}


def printed(capsys, configured=(), **changes):
    environment = Environment(
        Path("/home/me/.lockstep"), "127.0.0.1", 8000, {name: VALUES[name] for name in configured}
    )
    console = Console(width=40, soft_wrap=True)
    for part in banner.parts(environment, {**VALUES, **changes}, embedded=True):
        console.print(part)
    return capsys.readouterr().out


def test_commands_are_whole_lines_in_a_narrow_terminal(capsys):
    lines = printed(capsys).splitlines()
    token, create = (line for line in lines if line.startswith(("TOKEN", "curl")))
    assert token.startswith("TOKEN=$(curl -s http://127.0.0.1:8000/auth/ ")
    assert token.endswith("-f 4)")
    assert create.endswith("""-d '{"title": "Hello", "body": "In step."}'""")


def test_the_start_page_is_the_first_address(capsys):
    addresses = [line for line in printed(capsys).splitlines() if "http://" in line]
    assert addresses[0].split()[:3] == ["Start", "page", "http://127.0.0.1:8000/"]


def test_the_database_is_shown_without_its_password(capsys):
    text = printed(capsys)
    assert "postgresql://lockstep@127.0.0.1:5433/lockstep" in text
    assert "password in /home/me/.lockstep/environment" in text
    assert "secret" not in text


def test_a_stand_in_is_called_one(capsys):
    lines = printed(capsys).splitlines()
    assert [line.split()[:4] for line in lines if "stand-in" in line] == [
        ["Provider", "http://127.0.0.1:3001", "a", "stand-in"],
        ["Payments", "http://127.0.0.1:3002", "a", "stand-in;"],
        ["Counter", "http://127.0.0.1:8888", "a", "stand-in;"],
        ["Movies", "http://127.0.0.1:3003", "a", "stand-in"],
    ]
    assert "stand-in" not in printed(
        capsys, configured=("POSTS_PROVIDER_URL", "PAYMENTS_URL", "COUNTER_URL", "MOVIES_PROVIDER_URL")
    )


def test_development_says_how_webhooks_reach_this_machine(capsys):
    assert "WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8" in printed(capsys)
    assert "WEBHOOK_ALLOW_NETWORKS" not in printed(capsys, DEBUG="false")
    assert "WEBHOOK_ALLOW_NETWORKS" not in printed(capsys, configured=("WEBHOOK_ALLOW_NETWORKS",))


def test_development_says_how_to_try_an_outage(capsys):
    command = (
        "LOCKSTEP_HOME=/home/me/.lockstep .venv/bin/python manage.py sandbox fault provider --status 503 --for 30s"
    )
    assert command in printed(capsys)
    assert "sandbox" not in printed(capsys, DEBUG="false")
    assert "sandbox" not in printed(capsys, configured=("POSTS_PROVIDER_URL",))


def test_there_are_no_known_passwords_outside_development(capsys):
    assert "12345" not in printed(capsys, DEBUG="false")


def test_an_address_without_a_user_stays_as_it_is():
    assert banner.without_password("postgresql://host/x") == "postgresql://host/x"
    assert banner.without_password("postgresql://me@host/x") == "postgresql://me@host/x"
