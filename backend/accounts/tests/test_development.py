"""The accounts of development, which exist nowhere else."""

import pytest
from django.core.management import CommandError, call_command

from backend.accounts.models import Token, User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def development(settings) -> None:
    settings.DEBUG = True


def test_the_testing_user_is_made_once_and_its_token_printed(capsys: pytest.CaptureFixture, client):
    call_command("setup_testing_user")
    call_command("setup_testing_user")
    printed = capsys.readouterr().out.split()
    assert User.objects.get(username="user").check_password("1234")
    answer = client.get("/fakeapi/v1/posts/", headers={"authorization": f"Bearer {printed[-1]}"})
    assert answer.status_code == 200
    assert Token.objects.count() == 2


def test_a_changed_testing_user_is_restored():
    call_command("setup_testing_user")
    User.objects.update(is_active=False, is_staff=True)
    call_command("setup_testing_user")
    user = User.objects.get()
    assert (user.is_active, user.is_staff, user.check_password("1234")) == (True, False, True)


def test_the_command_creates_both_accounts(client):
    call_command("setup_development_accounts")
    assert set(User.objects.values_list("username", "is_staff")) == {("user", False), ("admin", True)}
    assert client.login(username="admin", password="12345")


@pytest.mark.parametrize("command", ["setup_testing_user", "setup_development_accounts"])
def test_commands_are_refused_outside_development(settings, command: str):
    settings.DEBUG = False
    with pytest.raises(CommandError, match="development"):
        call_command(command)
    assert not User.objects.exists()
