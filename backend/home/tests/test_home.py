"""The start page: what it shows to whom, and what its forms do where they exist."""

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from backend.entities.stand_ins import StandIn as Control
from backend.home import trial
from backend.home.trial_views import SIGN_IN_FIRST
from backend.posts.actions import create_post
from backend.posts.mirror import JSONPLACEHOLDER, POSTS
from backend.posts.models import Post
from devstack.sandbox.jsonplaceholder import StandIn
from lockstep.mirror.models import RemoteObject
from lockstep.models import DeadLetter, Lane, LoggedChange, Subscription
from lockstep.rest.probes import UNKNOWN
from tests.admin_pages import admin_of
from tests.support import Cast

pytestmark = pytest.mark.django_db

WELL = dict.fromkeys(UNKNOWN, "ok")
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FORMS = ("sign-in", "sign-out", "posts", "faults")
POST = {"title": "Hello", "body": "In step."}


@pytest.fixture
def readiness(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The states that the page is given."""
    states = dict(WELL)
    monkeypatch.setattr("backend.home.views.readiness", lambda: states)
    return states


@pytest.fixture
def development(settings, readiness: dict[str, str]):
    settings.DEBUG = True
    return settings


@pytest.fixture
def stand_in(development):
    with StandIn(posts=3, comments_per_post=0) as server:
        development.POSTS_PROVIDER_URL = server.url
        yield server


def text_of(client: Client) -> str:
    page = client.get("/", headers=BROWSER)
    assert page.status_code == 200
    return page.content.decode()


def faults_of(stand_in: StandIn) -> list[Any]:
    return Control(trial.PROVIDER, stand_in.url).faults()


def test_strangers_see_that_it_works_and_no_accounts(readiness: dict[str, str]):
    text = text_of(Client())
    assert "Yes: all its parts work." in text
    assert "<form" not in text and "Sign in as" not in text and "1234" not in text


def test_strangers_see_no_details_of_what_fails(readiness: dict[str, str], cast: Cast):
    readiness["mirrors"] = "jsonplaceholder: stopped, 40 deletions"
    assert "40 deletions" not in text_of(Client())
    assert "Not entirely." in text_of(Client())
    assert "40 deletions" in text_of(admin_of(cast.staff.user))
    assert "40 deletions" not in text_of(admin_of(cast.owner.user))


def test_the_page_needs_no_database(readiness: dict[str, str], cast: Cast, django_assert_num_queries):
    client = admin_of(cast.staff.user)
    readiness.update(UNKNOWN)
    with django_assert_num_queries(0):
        assert "needs attention" in text_of(client)


def test_the_page_has_a_strict_policy(readiness: dict[str, str]):
    page = Client().get("/")
    assert page["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in page["Content-Security-Policy"]
    assert page["Cache-Control"] == "no-store"
    assert (page["X-Frame-Options"], page["Referrer-Policy"]) == ("DENY", "same-origin")
    assert " style=" not in page.content.decode()


@pytest.mark.parametrize("form", FORMS)
def test_forms_exist_in_development_only(form: str, cast: Cast, settings):
    client = admin_of(cast.staff.user)
    assert client.post(f"/development/{form}/").status_code == 404
    settings.DEBUG = True
    assert client.post(f"/development/{form}/").status_code in (200, 302)
    assert client.get(f"/development/{form}/").status_code == 405


@pytest.mark.parametrize("form", FORMS)
def test_forms_refuse_requests_of_other_sites(form: str, development):
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    assert client.post(f"/development/{form}/").status_code == 403


@pytest.mark.parametrize("form", ["posts", "faults"])
def test_forms_need_an_account(form: str, stand_in: StandIn):
    client = Client()
    assert client.post(f"/development/{form}/", {**POST, "outage": "down"}).status_code == 302
    assert SIGN_IN_FIRST in text_of(client)
    assert not Post.objects.exists()
    assert faults_of(stand_in) == []


def test_one_click_signs_in_as_an_account_of_development(development):
    from backend.accounts.development import ensure_account

    ensure_account("user", "1234")
    client = Client()
    client.post("/development/sign-in/", {"account": "user"})
    assert "Signed in as <strong>user</strong>" in text_of(client)
    client.post("/development/sign-out/")
    assert "Signed in as" not in text_of(client)


def test_one_click_signs_in_to_no_other_account(development, cast: Cast):
    client = Client()
    client.post("/development/sign-in/", {"account": "owner"})
    assert "Signed in as" not in text_of(client)


def test_the_page_leads_to_the_pages_of_local_stand_ins(stand_in: StandIn, settings):
    settings.COUNTER_URL = "https://counter.example.org/"
    page = Client().get("/").content.decode()
    assert f'<a href="{stand_in.url}/">provider</a>' in page
    assert "counter.example.org" not in page


def test_the_page_leads_to_no_stand_ins_in_production(readiness: dict[str, str], settings):
    settings.POSTS_PROVIDER_URL = "http://127.0.0.1:3001"
    assert "127.0.0.1:3001" not in Client().get("/").content.decode()


def test_a_post_is_written_as_its_user(stand_in: StandIn, cast: Cast):
    client = admin_of(cast.owner.user)
    client.post("/development/posts/", POST)
    post = Post.objects.get()
    assert (post.title, post.body) == ("Hello", "In step.")
    assert LoggedChange.objects.history(post.pk).get().actor == f"user:{cast.owner.user.pk}"
    assert f"{post.number}: Hello" in text_of(client)
    page = f"/console/objects/posts.post/{post.pk}/"
    assert page not in text_of(client)
    assert page in text_of(admin_of(cast.staff.user))


def test_an_invalid_post_is_shown_with_its_errors(stand_in: StandIn, cast: Cast):
    page = admin_of(cast.owner.user).post("/development/posts/", {"title": "", "body": "kept"})
    assert "This field is required." in page.content.decode() and "kept" in page.content.decode()
    assert not Post.objects.exists()


@pytest.mark.parametrize("outage", trial.OUTAGES, ids=lambda outage: outage.name)
def test_the_provider_is_broken_and_mended(outage: trial.Outage, stand_in: StandIn, cast: Cast):
    client = admin_of(cast.owner.user)
    client.post("/development/faults/", {"outage": outage.name})
    assert outage.is_active(faults_of(stand_in))
    assert "The provider is broken." in text_of(client)
    client.post("/development/faults/", {"outage": ""})
    assert faults_of(stand_in) == []
    assert "The provider works." in text_of(client)


def test_faults_that_were_set_elsewhere_are_told(stand_in: StandIn):
    stand_in.faults(status=503)
    assert "faults that were set elsewhere: it answers 503." in text_of(Client())


def test_a_provider_that_is_no_stand_in_cannot_be_broken(development):
    text = text_of(Client())
    assert "It cannot be switched from here" in text
    assert "Take it down" not in text


def test_what_arrived_is_shown_as_the_provider_has_it(stand_in: StandIn):
    post = create_post(actor="", **POST)
    RemoteObject.objects.create(
        object_id=post.pk,
        collection=JSONPLACEHOLDER.key(POSTS.name),
        remote_id="2",
        acknowledged_at=timezone.now(),
        verified_at=timezone.now(),
    )
    stand_in.faults(down=True)
    text = text_of(Client())
    assert "Delivered as post 2" in text
    assert "&quot;id&quot;:2" in text
    assert stand_in.counts() == {}


def test_a_failing_delivery_says_why_and_when_it_is_tried_again(stand_in: StandIn):
    post = create_post(actor="", **POST)
    lane = {"model": POSTS.label, "object_id": str(post.pk), "subscription_id": JSONPLACEHOLDER.subscription}
    Lane.objects.create(**lane, attempts=2, failure="failed", cause="<b>busy</b>", next_at=timezone.now())
    assert "It waits: &lt;b&gt;busy&lt;/b&gt; Attempt 3 follows in 0 s." in text_of(Client())


def test_a_post_that_a_paused_subscription_keeps_says_so(stand_in: StandIn, cast: Cast):
    create_post(actor="", **POST)
    Subscription.objects.filter(name=JSONPLACEHOLDER.subscription).update(state="paused", reason="<i>later</i>")
    text = text_of(admin_of(cast.staff.user))
    assert "It waits: the subscription is paused (&lt;i&gt;later&lt;/i&gt;)." in text
    assert "Send all since then" not in text


def buried_post() -> tuple[Post, DeadLetter]:
    post = create_post(actor="", **POST)
    change = LoggedChange.objects.history(post.pk).get()
    letter = DeadLetter.objects.create(
        subscription_id=JSONPLACEHOLDER.subscription,
        model=POSTS.label,
        object_id=str(post.pk),
        seq=change.seq,
        at=change.at,
        message_id=post.pk,
        attempts=1,
        cause="refused",
    )
    return post, letter


def linked(text: str, words: str) -> str:
    """The address of the link with these words."""
    [found] = re.findall(rf'href="([^"]+)">{words}', text)
    return unescape(found)


def test_only_operators_are_led_to_a_replay(stand_in: StandIn, cast: Cast):
    post, _ = buried_post()
    assert "Replay it" not in text_of(admin_of(cast.owner.user))
    cast.owner.user.user_permissions.set(Permission.objects.filter(codename="operate_subscription"))
    assert "Replay it" not in text_of(admin_of(cast.owner.user)), "not staff"
    page = admin_of(cast.staff.user).get(linked(text_of(admin_of(cast.staff.user)), "Replay it…"))
    assert "What this will do" in page.content.decode() and str(post.pk) in page.content.decode()


def test_a_post_that_waits_is_sent_by_a_rewind_to_its_change(stand_in: StandIn, cast: Cast):
    post = create_post(actor="", **POST)
    lane = {"model": POSTS.label, "object_id": str(post.pk), "subscription_id": JSONPLACEHOLDER.subscription}
    Lane.objects.create(**lane, attempts=2, failure="failed", cause="busy", next_at=timezone.now())
    client = admin_of(cast.staff.user)
    page = client.get(linked(text_of(client), "Send all since then…")).content.decode()
    assert "1 change of 1 object will be sent again" in page


@pytest.mark.parametrize("state", ["disabled", "paused"])
def test_a_replay_on_a_subscription_that_is_stopped_is_a_page(state: str, stand_in: StandIn, cast: Cast):
    buried_post()
    Subscription.objects.filter(name=JSONPLACEHOLDER.subscription).update(state=state, reason="for now")
    client = admin_of(cast.staff.user)
    page = client.get(linked(text_of(client), "Replay it…"))
    assert page.status_code == 200
    assert ("is disabled: it gets nothing" in page.content.decode()) == (state == "disabled")


@pytest.mark.parametrize("address", ["/console/dead-letters/replay/", "/admin/posts/post/add/", "/development/posts/"])
def test_a_form_without_its_token_is_a_page_that_says_so(address: str, development, cast: Cast):
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.staff.user)
    refused = client.post(address, headers=BROWSER)
    text = refused.content.decode()
    assert refused.status_code == 403 and len(text) < 5_000
    if not address.startswith("/development/"):  # these have the common page
        assert "The form is out of date" in text and "Nothing was changed." in text
