"""Staff grant, and take away, no right that they do not have; superusers alone make staff and superusers."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from backend.accounts.models import User
from tests.admin_pages import admin_of, errors_of, opened
from tests.support import Cast

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

PAGE = "/admin/accounts/user/"
NEW_PASSWORD = {"usable_password": "true", "password1": "correct horse", "password2": "correct horse"}


def permission(codename: str) -> Permission:
    return Permission.objects.get(codename=codename)


@pytest.fixture
def clerk(cast: Cast) -> User:
    """Staff who look after users and posts, and nothing else."""
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    names = ["view_user", "add_user", "change_user", "delete_user", "change_post"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


@pytest.fixture
def admin(clerk: User) -> Client:
    return admin_of(clerk)


def rights_of(user: User) -> tuple[Any, ...]:
    user = User.objects.get(pk=user.pk)
    names = {one.codename for one in user.user_permissions.all()} | {one.name for one in user.groups.all()}
    return user.is_active, user.is_staff, user.is_superuser, names


@pytest.fixture
def manager(db: None) -> User:
    """Staff with a right that the clerk does not have, by a group."""
    group = Group.objects.create(name="managers")
    group.permissions.add(permission("delete_product"))
    user = User.objects.create_user("manager", password="x", is_staff=True)
    user.groups.add(group)
    return user


class TestWhatStaffGrant:
    @pytest.mark.parametrize("field", ["is_superuser", "is_staff"])
    def test_posting_a_flag_that_the_form_does_not_have_sets_nothing(self, admin: Client, cast: Cast, field: str):
        page = f"{PAGE}{cast.owner.user.pk}/change/"
        form = opened(admin, page)
        assert field not in form
        assert admin.post(page, form | {field: "on", "first_name": "Ada"}).status_code == 302
        assert rights_of(cast.owner.user) == (True, False, False, set())
        assert User.objects.get(pk=cast.owner.user.pk).first_name == "Ada"

    def test_permissions_beyond_the_own_ones_are_refused(self, admin: Client, cast: Cast):
        page = f"{PAGE}{cast.owner.user.pk}/change/"
        form = opened(admin, page) | {"user_permissions": [permission("delete_product").pk]}
        assert "user_permissions" in errors_of(admin.post(page, form))
        assert rights_of(cast.owner.user) == (True, False, False, set())

    def test_own_permissions_can_be_granted(self, admin: Client, cast: Cast):
        page = f"{PAGE}{cast.owner.user.pk}/change/"
        form = opened(admin, page) | {"user_permissions": [permission("change_post").pk]}
        assert admin.post(page, form).status_code == 302
        assert rights_of(cast.owner.user) == (True, False, False, {"change_post"})

    def test_groups_with_more_than_the_own_permissions_are_refused(self, admin: Client, cast: Cast, manager: User):
        page = f"{PAGE}{cast.owner.user.pk}/change/"
        form = opened(admin, page) | {"groups": [manager.groups.get().pk]}
        assert "groups" in errors_of(admin.post(page, form))
        writers = Group.objects.create(name="writers")
        writers.permissions.add(permission("change_post"))
        assert admin.post(page, opened(admin, page) | {"groups": [writers.pk]}).status_code == 302
        assert rights_of(cast.owner.user) == (True, False, False, {"writers"})

    def test_permissions_of_a_group_are_own_ones(self, cast: Cast, manager: User):
        manager.groups.get().permissions.add(permission("change_user"), permission("view_user"))
        page, admin = f"{PAGE}{cast.owner.user.pk}/change/", admin_of(manager)
        form = opened(admin, page) | {"user_permissions": [permission("delete_product").pk]}
        assert admin.post(page, form).status_code == 302

    def test_own_rights_stay_as_they_are(self, admin: Client, clerk: User):
        page, before = f"{PAGE}{clerk.pk}/change/", rights_of(clerk)
        form = opened(admin, page) | {"first_name": "Ada", "is_superuser": "on", "is_active": ""}
        form |= {"user_permissions": [permission("delete_product").pk], "groups": []}
        assert admin.post(page, form).status_code == 302
        assert rights_of(clerk) == before

    def test_a_new_account_has_no_rights(self, admin: Client):
        form = NEW_PASSWORD | {"username": "new", "is_superuser": "on", "is_staff": "on"}
        form |= {"user_permissions": [permission("change_post").pk]}
        assert admin.post(f"{PAGE}add/", form).status_code == 302
        assert rights_of(User.objects.get(username="new")) == (True, False, False, set())

    def test_superusers_grant_everything(self, cast: Cast):
        page, admin = f"{PAGE}{cast.owner.user.pk}/change/", admin_of(cast.staff.user)
        form = opened(admin, page) | {"is_staff": "on", "user_permissions": [permission("delete_product").pk]}
        assert admin.post(page, form).status_code == 302
        assert rights_of(cast.owner.user) == (True, True, False, {"delete_product"})


class TestWhomStaffMayTouch:
    """Accounts with more rights are looked at only: neither their form, nor their password, nor a deletion."""

    @pytest.fixture(params=["superuser", "manager", "superuser who is switched off"])
    def above(self, request: pytest.FixtureRequest, cast: Cast, manager: User) -> User:
        if request.param == "manager":
            return manager
        active = request.param == "superuser"
        User.objects.filter(pk=cast.staff.user.pk).update(is_active=active)
        return User.objects.get(pk=cast.staff.user.pk)

    def test_an_account_with_more_rights_is_not_changed(self, admin: Client, above: User):
        page, before = f"{PAGE}{above.pk}/change/", rights_of(above)
        assert admin.get(page).status_code == 200  # to look at
        assert admin.post(page, {"username": "taken over", "email": "mine@example.com"}).status_code == 403
        assert (rights_of(above), User.objects.get(pk=above.pk).username) == (before, above.username)

    def test_the_password_of_an_account_with_more_rights_is_not_set(self, admin: Client, above: User):
        assert admin.get(f"{PAGE}{above.pk}/password/").status_code == 403
        assert admin.post(f"{PAGE}{above.pk}/password/", NEW_PASSWORD).status_code == 403
        assert User.objects.get(pk=above.pk).password == above.password

    def test_an_account_with_more_rights_is_not_deleted(self, admin: Client, above: User):
        assert admin.post(f"{PAGE}{above.pk}/delete/", {"post": "yes"}).status_code == 403
        assert User.objects.get(pk=above.pk).deleted is None

    def test_accounts_of_which_one_has_more_rights_are_not_deleted(self, admin: Client, above: User, cast: Cast):
        chosen = [str(above.pk), str(cast.owner.user.pk)]
        form = {"action": "delete_selected", "_selected_action": chosen}
        assert "may not delete all" in admin.post(PAGE, form).content.decode()
        assert admin.post(PAGE, form | {"post": "yes"}).status_code == 403
        assert User.objects.filter(pk__in=chosen, deleted=None).count() == 2

    def test_colleagues_without_more_rights_may_be_changed(self, admin: Client, cast: Cast):
        colleague = User.objects.create_user("colleague of the clerk", password="x", is_staff=True)
        assert admin.post(f"{PAGE}{colleague.pk}/password/", NEW_PASSWORD).status_code == 302
        assert User.objects.get(pk=colleague.pk).check_password("correct horse")
        assert admin.post(f"{PAGE}{colleague.pk}/delete/", {"post": "yes"}).status_code == 302
        assert User.objects.get(pk=colleague.pk).deleted


class TestOwnPassword:
    def form(self, old: str) -> dict[str, str]:
        return {"old_password": old, "new_password1": "correct horse", "new_password2": "correct horse"}

    def test_password_form_writes_the_password_only_and_ends_sessions_of_the_old_one(self, cast: Cast):
        admin = admin_of(cast.staff.user)
        assert admin.post("/admin/password_change/", self.form("staff-password")).status_code == 302
        assert cast.staff.get("/api/v1/users/me/").status_code == 401
        assert admin.get("/admin/").status_code == 200

    @pytest.mark.slow
    def test_guesses_count_as_sign_in_attempts_of_this_account_only(self, cast: Cast):
        admin, colleague = admin_of(cast.staff.user), User.objects.create_user("other", password="right", is_staff=True)
        for _ in range(10):
            admin.post("/admin/password_change/", self.form("wrong"))
        body = {"username": "staff", "password": "wrong"}
        assert Client().post("/auth/", body, content_type="application/json").status_code == 429
        for n in range(120):  # more than any address may try, from other addresses
            admin.post("/admin/password_change/", self.form("wrong"), REMOTE_ADDR=f"198.51.100.{n}")
        answer = admin_of(colleague).post("/admin/password_change/", self.form("right"))
        assert answer.status_code == 302, answer.content.decode()

    def test_guesses_are_counted(self, cast: Cast):
        admin = admin_of(cast.staff.user)
        answers = [admin.post("/admin/password_change/", self.form("wrong")).content.decode() for _ in range(12)]
        assert "Too many attempts" not in answers[0]
        assert "Too many attempts" in answers[-1]
