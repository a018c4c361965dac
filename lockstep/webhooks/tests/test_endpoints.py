"""Endpoints over REST: their life, their secrets, what may be asked for and by whom."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from uuid_utils.compat import uuid7

from lockstep.changes.models import LoggedChange
from lockstep.delivery import operations
from lockstep.delivery.destinations.webhook import Gone
from lockstep.delivery.lanes import Outcome
from lockstep.delivery.models import Attempt, DeadLetter, Subscription
from lockstep.delivery.subscriptions import Change, Claim
from lockstep.mirror.tests.support import run_command
from lockstep.rest.encryption import DecryptionFailed, decrypt
from lockstep.webhooks.disabling import give_up
from lockstep.webhooks.models import SECRETS, Endpoint
from tests.support import Cast, Person, any_lock_waiter, eventually

pytestmark = pytest.mark.django_db

PATH = "/api/v1/webhooks/"
URL = "https://example.com/hook"


def make(person: Person, **values: object) -> dict:
    response = person.post(PATH, {"url": URL, "events": ["posts.post.*"], **values})
    assert response.status_code == 201, response.content
    return response.json()


def test_the_secret_is_returned_once_and_stored_encrypted(cast: Cast):
    made = make(cast.owner)
    assert made["secret"].startswith("whsec_")
    shown = cast.owner.get(f"{PATH}{made['id']}/").json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    kept = bytes(Endpoint.objects.get().secret)
    assert made["secret"].encode() not in kept
    assert decrypt(SECRETS, kept).decode() == made["secret"]


def test_secrets_survive_a_new_secret_key_as_long_as_the_old_one_is_named(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    secret = make(cast.owner)["secret"]
    kept = Endpoint.objects.get().secret
    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [settings.SECRET_KEY])
    monkeypatch.setattr(settings, "SECRET_KEY", "another")
    assert decrypt(SECRETS, kept).decode() == secret
    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [])
    with pytest.raises(DecryptionFailed):
        decrypt(SECRETS, kept).decode()


def test_resealed_secrets_outlive_the_old_secret_key(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    made = make(cast.owner)
    new = cast.owner.post(f"{PATH}{made['id']}/rotate/", {}).json()["secret"]
    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [settings.SECRET_KEY])
    monkeypatch.setattr(settings, "SECRET_KEY", "another")
    code, said = run_command("reseal_secrets")[:2]
    assert (code, "The secrets of 1 endpoint are encrypted" in said) == (0, True)
    monkeypatch.setattr(settings, "SECRET_KEY_FALLBACKS", [])
    endpoint = Endpoint.objects.get()
    secrets = [endpoint.secret, *endpoint.old_secrets]
    assert [decrypt(SECRETS, sealed).decode() for sealed in secrets] == [new, made["secret"]]
    monkeypatch.setattr(settings, "SECRET_KEY", "lost")
    assert run_command("reseal_secrets")[0] == 2
    assert Endpoint.objects.get().secret == endpoint.secret


def test_an_endpoint_and_its_subscription_live_and_die_together(cast: Cast):
    key = make(cast.owner)["id"]
    subscription = Subscription.objects.get(name=f"webhook:{key}")
    assert (subscription.follows, subscription.state) == (["posts.post.*"], "active")
    cast.owner.client.patch(f"{PATH}{key}/", {"events": ["posts.*"]}, content_type="application/json")
    subscription.refresh_from_db()
    assert subscription.follows == ["posts.*"]
    assert cast.owner.delete(f"{PATH}{key}/").status_code == 204
    assert not Subscription.objects.filter(name=f"webhook:{key}").exists()
    assert cast.owner.get(f"{PATH}{key}/").status_code == 404


def test_an_endpoint_is_switched_off_and_on(cast: Cast):
    key = make(cast.owner)["id"]

    def switch(active: bool) -> dict:
        return cast.owner.client.patch(f"{PATH}{key}/", {"active": active}, content_type="application/json").json()

    off = switch(False)
    assert (off["active"], off["reason"]) == (False, "switched off by its owner")
    assert Subscription.objects.get(name=f"webhook:{key}").state == "disabled"
    assert cast.owner.post(f"{PATH}{key}/test/", {}).status_code == 409
    assert cast.owner.post(f"{PATH}{key}/redeliver/", {"dead_letters": True}).status_code == 409
    on = switch(True)
    assert (on["active"], on["reason"]) == (True, "")
    assert Subscription.objects.get(name=f"webhook:{key}").state == "active"


@pytest.mark.parametrize(("url", "is_failing"), [(URL, True), ("https://example.com/moved", False)])
def test_failures_before_a_move_do_not_count(cast: Cast, url: str, is_failing: bool):
    """Else the first failure at the new URL could switch the endpoint off."""
    key = make(cast.owner)["id"]
    Endpoint.objects.update(failing_since=timezone.now())
    moved = cast.owner.client.patch(f"{PATH}{key}/", {"url": url}, content_type="application/json").json()
    assert moved["url"] == url
    assert (moved["failing_since"] is not None) == is_failing


def test_switching_it_off_and_on_takes_no_pause_back(cast: Cast):
    """The pause is the operator's word."""
    key = make(cast.owner)["id"]
    operations.pause(f"webhook:{key}", reason="its receiver asked us to")
    for active in (False, True):
        cast.owner.client.patch(f"{PATH}{key}/", {"active": active}, content_type="application/json")
    subscription = Subscription.objects.get(name=f"webhook:{key}")
    assert (subscription.state, subscription.reason) == ("paused", "its receiver asked us to")


@pytest.mark.parametrize(
    "meanwhile", [{"active": False}, {"url": "https://example.com/moved"}, {"failing_since": None}, {}]
)
def test_giving_up_takes_back_nothing_that_was_written_after_the_failure(cast: Cast, meanwhile: dict[str, Any]):
    """A failure is noted first and judged a moment later: meanwhile its owner moves it, or switches it off and on."""
    endpoint = Endpoint.objects.get(pk=make(cast.owner)["id"])
    failing_since = timezone.now()
    Endpoint.objects.filter(pk=endpoint.pk).update(failing_since=failing_since)
    if meanwhile.get("active") is False:
        for active in (False, True):
            cast.owner.client.patch(f"{PATH}{endpoint.pk}/", {"active": active}, content_type="application/json")
    elif meanwhile:
        Endpoint.objects.filter(pk=endpoint.pk).update(**meanwhile)
    change = Change(1, failing_since, "posts.post", "1", "updated", None, None)
    last = Outcome(Claim(lane=1, token=1, attempts=1, message_id=uuid4(), change=change), Gone("answered 410"))
    give_up(endpoint.pk, last, url=endpoint.url, failing_since=failing_since, reason="answered 410")
    endpoint.refresh_from_db()
    assert (endpoint.disabled is None) == bool(meanwhile)
    assert Subscription.objects.get(name=endpoint.subscription).state == ("active" if meanwhile else "disabled")
    assert DeadLetter.objects.filter(message_id=last.claim.message_id).exists() != bool(meanwhile)


def test_subscription_of_an_endpoint_is_not_removed_by_command(cast: Cast):
    key = make(cast.owner)["id"]
    code, said = run_command("lockstep", "remove", f"webhook:{key}")
    assert (code, said) == (
        1,
        f"'webhook:{key}' belongs to a webhook endpoint, {key}: delete that, and its subscription goes with it.",
    )
    assert Subscription.objects.filter(name=f"webhook:{key}").exists()


@pytest.mark.parametrize("name", ["webhook:01999999-0000-7000-8000-000000000001", "webhook:nothing"])
def test_subscription_without_an_endpoint_is_removed_by_command(cast: Cast, name: str):
    Subscription.objects.create(name=name, kind="event", follows=["*"])
    assert run_command("lockstep", "remove", name) == (0, f"{name} is removed.\n")
    assert not Subscription.objects.filter(name=name).exists()


def test_endpoint_whose_subscription_is_missing_can_be_deleted_and_switched_on(cast: Cast):
    key = make(cast.owner)["id"]
    subscription = Subscription.objects.filter(name=f"webhook:{key}")
    operations.unsubscribe(f"webhook:{key}")
    for path, body in (("test", {}), ("redeliver", {"dead_letters": True})):
        refused = cast.owner.post(f"{PATH}{key}/{path}/", body)
        assert refused.status_code == 409
        assert 'PATCH {"active": true}' in refused.json()["detail"]
    switch = partial(cast.owner.client.patch, f"{PATH}{key}/", content_type="application/json")
    assert switch({"active": True}).status_code == 200
    assert subscription.get().state == "active"
    assert cast.owner.post(f"{PATH}{key}/test/", {}).status_code == 202
    operations.unsubscribe(f"webhook:{key}")
    assert switch({"active": False}).status_code == 200
    assert cast.owner.delete(f"{PATH}{key}/").status_code == 204


@pytest.mark.parametrize("who", ["colleague", "staff"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("get", "", None),
        ("patch", "", {"active": False}),
        ("delete", "", None),
        ("post", "rotate/", {}),
        ("post", "test/", {}),
        ("get", "attempts/", None),
        ("post", "redeliver/", {"dead_letters": True}),
    ],
)
def test_another_users_endpoint_is_404(cast: Cast, who: str, method: str, path: str, body: object):
    key = make(cast.owner)["id"]
    client = getattr(cast, who).client
    options = {} if body is None else {"data": body, "content_type": "application/json"}
    assert getattr(client, method)(f"{PATH}{key}/{path}", **options).status_code == 404
    assert client.get(PATH).json()["results"] == []
    assert Endpoint.objects.alive().filter(disabled=None).count() == 1


def test_webhooks_without_a_token_are_401(client, cast: Cast):
    key = make(cast.owner)["id"]
    assert client.get(PATH).status_code == 401
    assert client.post(PATH, {"url": URL, "events": ["*"]}, content_type="application/json").status_code == 401
    assert client.get(f"{PATH}{key}/attempts/").status_code == 401


def test_events_for_staff_need_a_staff_user(cast: Cast):
    refused = cast.owner.post(PATH, {"url": URL, "events": ["accounts.user.*"]})
    assert refused.status_code == 400
    assert "posts.comment.created" in refused.json()["errors"][0]["detail"]
    assert "accounts.user" not in refused.json()["errors"][0]["detail"].split("Event types")[1]
    assert make(cast.staff, events=["accounts.user.*"])["events"] == ["accounts.user.*"]


@pytest.mark.parametrize(
    "events",
    [[], ["posts.post"], ["posts.post.exploded"], ["nothing.*"], ["**"], [7], "posts.post.*", ["*"] * 51, [None], None],
)
def test_unknown_events_are_400(cast: Cast, events: object):
    response = cast.owner.post(PATH, {"url": URL, "events": events})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"].startswith("events")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nothing",
        "/hook",
        "ftp://example.com/",
        "https://",
        "https://user:secret@example.com/",
        "https://exa mple.com/",
        "https://example.com:99999/",
        "https://" + "a" * 2_000,
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://localhost/",
        "http://10.0.0.7/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        None,
        7,
    ],
)
def test_urls_that_webhooks_do_not_go_to(cast: Cast, url: object):
    response = cast.owner.post(PATH, {"url": url, "events": ["*"]})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "url"
    assert not Endpoint.objects.exists()


def test_plain_http_is_for_development(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settings, "DEBUG", True)
    make(cast.owner, url="http://example.com/hook")
    monkeypatch.setattr(settings, "DEBUG", False)
    response = cast.owner.post(PATH, {"url": "http://example.com/hook", "events": ["*"]})
    assert response.status_code == 400


def test_a_network_that_was_opened_may_be_named(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(settings.LOCKSTEP, "WEBHOOK_ALLOW_NETWORKS", [ip_network("10.0.0.0/8")])
    make(cast.owner, url="https://10.1.2.3/hook")
    assert cast.owner.post(PATH, {"url": "https://192.168.1.1/", "events": ["*"]}).status_code == 400


def test_the_endpoints_of_one_user_are_limited(cast: Cast, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(settings.LOCKSTEP, "WEBHOOKS_PER_USER", 2)
    make(cast.owner)
    make(cast.owner)
    assert cast.owner.post(PATH, {"url": URL, "events": ["*"]}).status_code == 409
    make(cast.colleague)


@pytest.mark.django_db(transaction=True)
def test_concurrent_creations_are_counted_in_turn(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, database: psycopg.Connection
):
    monkeypatch.setitem(settings.LOCKSTEP, "WEBHOOKS_PER_USER", 1)

    def make_another() -> int:
        try:
            return cast.owner.post(PATH, {"url": URL, "events": ["*"]}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with database.transaction():  # the first one, which has not committed yet
            database.execute("SELECT FROM accounts_user WHERE id = %s FOR NO KEY UPDATE", [cast.owner.user.pk])
            second = pool.submit(make_another)
            eventually(lambda: any_lock_waiter(database))
            database.execute(
                "INSERT INTO lockstep_webhooks_endpoint (id, owner_id, url, events, secret)"
                " VALUES (%s, %s, %s, '{*}', '')",
                [uuid7(), cast.owner.user.pk, URL],
            )
        assert second.result() == 409


def test_pages_go_newest_first(cast: Cast):
    made = [make(cast.owner)["id"] for _ in range(5)]
    seen, path = [], f"{PATH}?limit=2"
    while path:
        page = cast.owner.get(path).json()
        seen += [endpoint["id"] for endpoint in page["results"]]
        path = page["next"]
    assert seen == made[::-1]


@pytest.mark.parametrize("query", ["cursor=nonsense", "limit=x", "limit=-1", "limit=0"])
def test_invalid_pages_are_400(cast: Cast, query: str):
    answer = cast.owner.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, query.partition("=")[0])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message_id": str(uuid4()), "dead_letters": True},
        {"dead_letters": False},
        {"until": "2026-01-01T00:00:00Z"},
        {"message_id": "x"},
        {"since": "yesterday"},
        {"everything": True},
        [],
    ],
)
def test_redelivery_needs_one_choice(cast: Cast, body: object):
    key = make(cast.owner)["id"]
    assert cast.owner.post(f"{PATH}{key}/redeliver/", body).status_code == 400


def test_a_message_that_is_not_stored_cannot_be_redelivered(cast: Cast):
    key = make(cast.owner)["id"]
    response = cast.owner.post(f"{PATH}{key}/redeliver/", {"message_id": str(uuid4())})
    assert response.status_code == 404


def test_a_redelivery_beyond_retention_is_reported(cast: Cast):
    key = make(cast.owner)["id"]
    letter = DeadLetter.objects.create(
        subscription_id=f"webhook:{key}",
        model="posts.post",
        object_id=str(uuid4()),
        seq=1,
        at=timezone.now(),
        message_id=uuid4(),
        attempts=1,
        cause="no",
    )
    redeliver = f"{PATH}{key}/redeliver/"
    one = cast.owner.post(redeliver, {"message_id": str(letter.message_id)})
    assert (one.status_code, "no longer in the log" in one.json()["detail"]) == (404, True)
    every = cast.owner.post(redeliver, {"dead_letters": True})
    assert every.status_code == 200
    assert every.json()["detail"] == "Some messages are too old to be sent again. Nothing is sent."
    assert DeadLetter.objects.get().outcome is None


def test_attempts_that_never_reached_the_receiver_are_not_listed(cast: Cast):
    """Their type may be that of a change which the owner may not read, and their cause names our database."""
    key = make(cast.owner)["id"]
    attempt = {"subscription_id": f"webhook:{key}", "object_id": "1", "seq": 1, "at": timezone.now(), "number": 1}
    attempt |= {"kind": "created", "began": timezone.now(), "seconds": 0.1, "failure": "interrupted"}
    Attempt.objects.create(model="shop.order", message_id=uuid4(), cause="our database", **attempt)
    sent = Attempt.objects.create(
        model="posts.post", message_id=uuid4(), cause="answered 500", receipt={"type": "posts.post.created"}, **attempt
    )
    listed = cast.owner.get(f"{PATH}{key}/attempts/").json()["results"]
    assert [(each["message_id"], each["type"]) for each in listed] == [(str(sent.message_id), "posts.post.created")]


def test_the_log_keeps_neither_url_nor_secrets(cast: Cast):
    made = make(cast.owner, url="https://example.com/token-in-the-path")
    cast.owner.post(f"{PATH}{made['id']}/rotate/", {})
    logged = " ".join(
        f"{change.before} {change.after}" for change in LoggedChange.objects.filter(model="lockstep_webhooks.endpoint")
    )
    assert "posts.post.*" in logged
    assert "token-in-the-path" not in logged
    assert "secret" not in logged
