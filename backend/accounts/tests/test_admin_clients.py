"""OAuth clients and webhook endpoints in the admin: what is shown, to whom, and what can be done."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import Application

from backend.accounts import admin_clients
from backend.accounts.models import Session, User
from backend.entities import admin_lists
from lockstep.models import LoggedChange
from lockstep.webhooks.actions import create_endpoint
from lockstep.webhooks.models import Endpoint
from tests.admin_pages import admin_of
from tests.support import Cast

pytestmark = pytest.mark.django_db

CLIENTS, ENDPOINTS = "/admin/oauth2_provider/application/", "/admin/lockstep_webhooks/endpoint/"
SECRET = "a-secret-of-the-client"


@pytest.fixture
def application(db: None) -> Application:
    return Application.objects.create(
        name="a partner",
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_PASSWORD,
        client_secret=SECRET,
    )


@pytest.fixture
def endpoint(cast: Cast) -> Endpoint:
    url = "https://hooks.example.org/path-secret?key=query-secret"
    return create_endpoint(actor="", owner=cast.owner.user, url=url, events=["posts.post.*"]).endpoint


def staff_with(*permissions: str) -> Client:
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return admin_of(user)


def session_of(user: User, client: Application) -> Session:
    expires = timezone.now() + timedelta(days=1)
    return Session.objects.create(user=user, client=client, scope="read", expires=expires)


def run(admin: Client, page: str, action: str, row: Application | Endpoint) -> int:
    return admin.post(page, {"action": action, "_selected_action": str(row.pk)}).status_code


@pytest.mark.parametrize("page", ["", "{}/change/", "{}/history/", "?q=owner"])
def test_no_page_shows_a_secret(page: str, application: Application, endpoint: Endpoint, cast: Cast):
    admin = admin_of(cast.staff.user)
    of_client = admin.get(CLIENTS + page.format(application.pk))
    of_endpoint = admin.get(ENDPOINTS + page.format(endpoint.pk))
    assert (of_client.status_code, of_endpoint.status_code) == (200, 200)
    assert SECRET not in of_client.content.decode()
    assert "View on site" not in of_client.content.decode()  # where nothing is mounted
    assert application.client_secret not in of_client.content.decode()
    for secret in ("path-secret", "query-secret", bytes(endpoint.secret).hex(), str(bytes(endpoint.secret))):
        assert secret not in of_endpoint.content.decode()


@pytest.mark.parametrize(
    "place",
    [
        f"{CLIENTS}?client_secret__startswith=p",
        f"{CLIENTS}?user__password__startswith=p",
        f"{ENDPOINTS}?url__contains=secret",
        f"{ENDPOINTS}?secret__gt=0",
        f"{ENDPOINTS}?owner__password__startswith=p",
    ],
)
def test_a_secret_cannot_be_guessed_by_a_filter(place: str, application: Application, endpoint: Endpoint, cast: Cast):
    assert admin_of(cast.staff.user).get(place).status_code == 400


@pytest.mark.parametrize("page", [CLIENTS, ENDPOINTS])
def test_pages_need_their_right(page: str, application: Application, endpoint: Endpoint):
    row = application if page == CLIENTS else endpoint
    admin = staff_with("view_post")
    assert admin.get(page).status_code == 403
    assert admin.get(f"{page}{row.pk}/change/").status_code == 403


def test_viewers_may_do_nothing(application: Application, endpoint: Endpoint, cast: Cast):
    session = session_of(cast.owner.user, application)
    admin = staff_with("view_application", "view_endpoint")
    run(admin, CLIENTS, "revoke_tokens", application)
    run(admin, ENDPOINTS, "switch_off", endpoint)
    assert admin.post(f"{CLIENTS}{application.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin.post(f"{ENDPOINTS}{endpoint.pk}/change/", {"description": "x"}).status_code == 403
    session.refresh_from_db()
    endpoint.refresh_from_db()
    assert (session.revoked, endpoint.disabled) == (None, None)


def test_the_tokens_of_a_client_are_revoked_and_no_others(application: Application, cast: Cast):
    other = Application.objects.create(name="another", client_type="public", authorization_grant_type="password")
    revoked, kept = session_of(cast.owner.user, application), session_of(cast.owner.user, other)
    admin = staff_with("view_application", "change_application")
    assert run(admin, CLIENTS, "revoke_tokens", application) == 302
    revoked.refresh_from_db()
    kept.refresh_from_db()
    assert revoked.revoked is not None
    assert kept.revoked is None
    assert "Revoked the tokens of 1 sessions." in LogEntry.objects.get().change_message


def test_a_client_is_deleted_with_its_sessions(application: Application, cast: Cast):
    session = session_of(cast.owner.user, application)
    admin = staff_with("view_application", "delete_application")
    assert admin.get(f"{CLIENTS}{application.pk}/delete/").status_code == 200
    assert admin.post(f"{CLIENTS}{application.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Application.objects.exists()
    assert not Session.objects.filter(pk=session.pk).exists()


def test_a_client_with_many_sessions_is_not_deleted(application: Application, cast: Cast, monkeypatch):
    monkeypatch.setattr(admin_clients, "MAX_SESSIONS", 1)
    for _ in range(2):
        session_of(cast.owner.user, application)
    admin = admin_of(cast.staff.user)
    answer = admin.post(f"{CLIENTS}{application.pk}/delete/", {"post": "yes"})
    assert "more than 1 sessions" in answer.content.decode()
    assert Application.objects.filter(pk=application.pk).exists()


def test_an_endpoint_is_switched_off_with_its_actor_in_the_log(endpoint: Endpoint):
    admin = staff_with("view_endpoint", "operate_subscription")
    assert run(admin, ENDPOINTS, "switch_off", endpoint) == 302
    endpoint.refresh_from_db()
    assert endpoint.disabled is not None
    assert endpoint.reason == admin_clients.OFF
    change = LoggedChange.objects.filter(model="lockstep_webhooks.endpoint").latest("seq")
    assert (change.kind, change.actor) == ("updated", f"user:{User.objects.get(username='clerk').pk}")


def test_an_endpoint_leads_to_its_page_in_the_console(endpoint: Endpoint, cast: Cast):
    page = admin_of(cast.staff.user).get(f"{ENDPOINTS}{endpoint.pk}/change/").content.decode()
    assert f'href="/console/webhooks/{endpoint.pk}/"' in page
    assert "hooks.example.org" in page


def test_lists_count_a_bounded_number_of_rows(cast: Cast, monkeypatch):
    monkeypatch.setattr(admin_lists, "MAX_PAGED", 60)
    Application.objects.bulk_create(
        Application(name=f"client {n}", client_type="public", authorization_grant_type="password") for n in range(70)
    )
    admin = admin_of(cast.staff.user)
    first, last = admin.get(CLIENTS), admin.get(f"{CLIENTS}?p=2")
    assert first.context["cl"].result_count == 60
    assert len(last.context["cl"].result_list) == 10


def test_lists_take_constant_queries(cast: Cast, django_assert_max_num_queries):
    admin = admin_of(cast.staff.user)
    for n in range(4):
        url = f"https://example.org/{n}"
        create_endpoint(actor="", owner=cast.owner.user, url=url, events=["posts.post.*"])
    with django_assert_max_num_queries(8):
        assert admin.get(ENDPOINTS).status_code == 200
