"""Accounts in the admin."""

import pytest
from django.test import Client

from lockstep.accounts import sessions
from lockstep.accounts.models import User
from lockstep.changes.models import Change
from tests.admin_pages import opened
from tests.support import Cast

pytestmark = pytest.mark.django_db

PAGE = "/admin/accounts/user/"
ME = "/api/v1/users/me/"


@pytest.fixture
def admin(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.staff.user)
    return client


def test_adding_an_account_that_may_sign_in(admin: Client):
    form = {"username": "new", "usable_password": "true", "password1": "correct horse", "password2": "correct horse"}
    assert admin.post(f"{PAGE}add/", form).status_code == 302
    credentials = {"username": "new", "password": "correct horse"}
    assert Client().post("/auth/", credentials, content_type="application/json").status_code == 200


def test_deleting_an_account_signs_it_out_and_keeps_its_history(admin: Client, cast: Cast):
    assert admin.post(f"{PAGE}{cast.owner.user.pk}/delete/", {"post": "yes"}).status_code == 302
    assert cast.owner.get(ME).status_code == 401
    assert User.objects.get(pk=cast.owner.user.pk).deleted is not None
    last = Change.objects.history(cast.owner.user.pk).last()
    assert (last.kind, last.actor) == ("deleted", f"user:{cast.staff.user.pk}")
    admin.get(PAGE)  # which tells that it was deleted
    assert "owner" not in admin.get(PAGE).content.decode()


def test_a_new_password_signs_the_account_out_everywhere(admin: Client, cast: Cast):
    pair = sessions.open_pair(cast.owner.user)
    form = {"usable_password": "true", "password1": "correct horse", "password2": "correct horse"}
    assert admin.post(f"{PAGE}{cast.owner.user.pk}/password/", {**form, "password2": "other"}).status_code == 200
    assert cast.owner.get(ME).status_code == 200
    assert admin.post(f"{PAGE}{cast.owner.user.pk}/password/", form).status_code == 302
    assert cast.owner.get(ME).status_code == 401
    assert not sessions.is_valid(pair.refresh)
    assert cast.colleague.get(ME).status_code == 200


def test_an_account_that_is_switched_off_is_out_at_once(admin: Client, cast: Cast):
    page = f"{PAGE}{cast.owner.user.pk}/change/"
    form = opened(admin, page)
    assert form.pop("is_active") == "on"
    assert admin.post(page, form).status_code == 302
    assert cast.owner.get(ME).status_code == 401
    assert admin.post(page, opened(admin, page) | {"is_active": "on"}).status_code == 302
    assert cast.owner.get(ME).status_code == 401  # it is signed out, and signs in again
