"""The extras rest, webhooks and feed in a project that has its own user model, authentication and views."""

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import Client
from project.blog.models import Article, Note
from project.drafts.models import Draft, Editor
from project.people.models import Person
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from standardwebhooks import Webhook

from lockstep.changes import checks
from lockstep.changes.attribution import Actor, attributed_transaction, confirm
from lockstep.models import LoggedChange, Subscription
from lockstep.rest import users
from lockstep.rest.actors import UserActor
from lockstep.rest.rate_limit import limiter
from lockstep.testing import deliver_all
from lockstep.webhooks.actions import remove_orphans

pytestmark = [pytest.mark.extras, pytest.mark.django_db(transaction=True)]


class Receiver:
    """Keeps what it is sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[dict[str, str], bytes]] = []

    def events(self, secret: str) -> list[tuple[str, dict[str, Any]]]:
        """The type and data of each message; raises where a signature does not hold."""
        messages = [Webhook(secret).verify(body, headers) for headers, body in self.requests]
        return [(message["type"], message["data"]) for message in messages]


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """A receiver of this machine, whose network is opened; http is for development."""
    settings.DEBUG = True
    settings.LOCKSTEP = settings.LOCKSTEP | {"WEBHOOK_ALLOW_NETWORKS": ["127.0.0.0/8"]}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield receiver
    server.shutdown()
    server.server_close()
    thread.join()


class Caller:
    """A user of the project, with REST framework's token."""

    def __init__(self, name: str, *, is_staff: bool = False) -> None:
        self.person = Person.objects.create_user(name, is_staff=is_staff)
        token = Token.objects.create(user=self.person)
        self.client = Client(headers={"authorization": f"Token {token.key}"})

    def post(self, path: str, body: object = None, **headers: str) -> Any:
        return self.client.post(path, json.dumps(body or {}), content_type="application/json", headers=headers)

    def put(self, path: str, body: object, **headers: str) -> Any:
        return self.client.put(path, json.dumps(body), content_type="application/json", headers=headers)

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)

    def hook(self, url: str, *events: str) -> dict[str, Any]:
        made = self.post("/api/webhooks/", {"url": url, "events": list(events)})
        assert made.status_code == 201, made.content
        return made.json()


@pytest.fixture
def ada() -> Caller:
    return Caller("ada")


@pytest.fixture
def staff() -> Caller:
    return Caller("staff", is_staff=True)


# --- Webhooks ---


def test_a_webhook_gets_the_changes_of_its_object_signed_and_in_order(ada: Caller, receiver: Receiver):
    hook = ada.hook(receiver.url, "blog.article.*")
    article = Article.objects.create(title="a", price="1.5")
    key = str(article.pk)
    Article.objects.filter(pk=article.pk).update(title="b")
    article.delete()
    deliver_all(strict=True)
    events = receiver.events(hook["secret"])
    assert [kind for kind, _ in events] == [f"blog.article.{kind}" for kind in ("created", "updated", "deleted")]
    assert (events[0][1]["id"], events[0][1]["after"]["price"]) == (key, "1.5000")
    attempts = ada.get(f"/api/webhooks/{hook['id']}/attempts/").json()["results"]
    assert [attempt["status"] for attempt in attempts] == [204, 204, 204]


def test_a_user_gets_no_changes_that_are_for_staff(ada: Caller, staff: Caller, receiver: Receiver):
    refused = ada.post("/api/webhooks/", {"url": receiver.url, "events": ["blog.note.*"]})
    assert (refused.status_code, refused["Content-Type"]) == (400, "application/problem+json")
    hook = ada.hook(receiver.url, "*")
    Note.objects.create(slug="a", text="for staff")
    Article.objects.create(title="for all")
    deliver_all()
    kinds = [kind for kind, _ in receiver.events(hook["secret"])]
    assert sorted(kinds) == ["blog.article.created", "lockstep_webhooks.endpoint.created"]  # the latter is their own
    ada.client.delete(f"/api/webhooks/{hook['id']}/")
    receiver.requests.clear()
    theirs = staff.hook(receiver.url, "blog.note.*")
    Note.objects.create(slug="b", text="for staff")
    deliver_all()
    assert [data["id"] for _, data in receiver.events(theirs["secret"])] == ["b"]


def test_an_owner_gets_what_is_private_and_others_once_it_is_public(ada: Caller, receiver: Receiver):
    other = Caller("bob")
    hook = other.hook(receiver.url, "drafts.draft.*")
    draft = Draft.objects.create(owner=ada.person, text="a")
    mine = Draft.objects.create(owner=other.person, text="b")
    Draft.objects.filter(pk=draft.pk).update(state="public")
    deliver_all(strict=True)
    got = {(kind, data["id"]) for kind, data in receiver.events(hook["secret"])}
    assert got == {("drafts.draft.created", str(draft.pk)), ("drafts.draft.created", str(mine.pk))}


def test_what_is_private_again_before_it_was_sent_is_not_sent(ada: Caller, receiver: Receiver):
    Caller("bob").hook(receiver.url, "drafts.draft.created")
    draft = Draft.objects.create(owner=ada.person, text="a", state="public")
    Draft.objects.filter(pk=draft.pk).update(state="private")
    deliver_all(strict=True)
    assert receiver.requests == []


def test_a_user_who_is_not_active_gets_nothing(ada: Caller, receiver: Receiver):
    hook = ada.hook(receiver.url, "blog.article.*")
    Person.objects.filter(pk=ada.person.pk).update(is_active=False)
    Article.objects.create(title="a")
    deliver_all(strict=True)
    assert receiver.requests == []
    assert ada.get(f"/api/webhooks/{hook['id']}/").status_code == 401


def test_webhooks_of_a_deleted_user_leave_no_subscription(ada: Caller, receiver: Receiver):
    hook = ada.hook(receiver.url, "blog.article.*")
    kept = Caller("bob").hook(receiver.url, "blog.article.*")
    ada.person.delete()
    Article.objects.create(title="a")
    deliver_all(strict=True)
    assert len(receiver.events(kept["secret"])) == 1
    assert remove_orphans() == 1
    assert not Subscription.objects.filter(name=f"webhook:{hook['id']}").exists()
    assert Subscription.objects.filter(name=f"webhook:{kept['id']}").exists()


def test_webhooks_of_another_user_are_404_and_anonymous_requests_401(ada: Caller, receiver: Receiver):
    hook = Caller("bob").hook(receiver.url, "*")
    assert ada.get(f"/api/webhooks/{hook['id']}/").status_code == 404
    assert Client().get("/api/webhooks/").status_code == 401
    assert ada.get("/api/webhooks/").json()["results"] == []


def test_webhooks_reach_public_addresses_only_without_a_setting(ada: Caller, settings: Any):
    settings.DEBUG = True
    refused = ada.post("/api/webhooks/", {"url": "http://127.0.0.1/", "events": ["*"]})
    assert "WEBHOOK_ALLOW_NETWORKS" in refused.json()["errors"][0]["detail"]


# --- Feed ---


def test_staff_list_changes_by_actor_and_object(ada: Caller, staff: Caller):
    made = ada.post("/api/drafts/", {"text": "a"}).json()
    Article.objects.create(title="b")
    changes = staff.get(f"/api/changes/?actor=user:{ada.person.pk}&model=drafts.draft").json()["results"]
    assert [(row["object_id"], row["actor"]) for row in changes] == [(str(made["id"]), f"user:{ada.person.pk}")]
    assert len(staff.get(f"/api/changes/?object_id={made['id']}&model=drafts.draft").json()["results"]) == 1
    refused = staff.get("/api/changes/?actor=user:ada")
    assert refused.json()["errors"] == [{"field": "actor", "detail": "Must be user:<id>, with the key of a user."}]
    assert ada.get("/api/changes/").status_code == 403


@contextmanager
def stream(caller: Caller, **headers: str) -> Iterator[Iterator[str]]:
    response = caller.get("/api/changes/", accept="text/event-stream", **headers)
    assert (response.status_code, response["Content-Type"]) == (200, "text/event-stream")
    try:
        yield (part.decode() for part in response)
    finally:
        response.close()


def test_staff_stream_changes_and_resume(ada: Caller, staff: Caller):
    deliver_all()  # the first worker begins the epoch of the log
    with stream(staff) as events:
        position = next(events).split("id: ")[1].strip()
        Article.objects.create(title="live")
        event = next(part for part in events if "event: " in part)
        assert "event: blog.article.created" in event
    with stream(staff, **{"last-event-id": position}) as events:
        resumed = next(part for part in events if "event: " in part)
        assert resumed == event
        Person.objects.filter(pk=staff.person.pk).update(is_staff=False)
        assert [part for part in events if "event: blog" in part] == []
    assert ada.get("/api/changes/", accept="text/event-stream").status_code == 403


def test_history_is_for_the_readers_of_its_object(ada: Caller, staff: Caller):
    made = ada.post("/api/drafts/", {"text": "a"}).json()
    ada.put(f"/api/drafts/{made['id']}/", {"text": "b"})
    path = f"/api/history/drafts.draft/{made['id']}/"
    newest, oldest = ada.get(path).json()["results"]
    assert (newest["by"], newest["changed"]) == ("ada", {"text": {"before": "a", "after": "b"}})
    assert oldest["kind"] == "created"
    assert ada.get(f"/api/drafts/{made['id']}/history/").json()["results"] == [newest, oldest]
    assert Caller("bob").get(path).status_code == 404
    assert len(staff.get(path).json()["results"]) == 2
    assert Client().get(path).status_code == 401
    assert ada.get("/api/history/drafts.draft/abc/").status_code == 404


# --- REST ---


def test_errors_of_a_view_are_problems_whose_type_can_be_read(ada: Caller):
    refused = ada.post("/api/drafts/", {"text": "a", "colour": "red"})
    assert (refused.status_code, refused["Content-Type"]) == (400, "application/problem+json")
    assert refused.json()["errors"] == [{"field": "colour", "detail": "There is no such field."}]
    missing = ada.get("/api/drafts/0/").json()
    assert missing["detail"] == "You have no such draft."
    assert Client().get(missing["type"]).json()["status"] == 404
    assert ada.get("/api/drafts/1/?colour=red").json()["errors"][0]["field"] == "colour"
    assert ada.client.post("/api/drafts/", "text=a", content_type="text/plain").status_code == 415


def test_problems_are_those_that_a_project_without_oauth_or_a_shop_can_have():
    listed = Client().get("/problems/").json()
    assert {"conflict", "unauthenticated"} < {problem["type"].removeprefix("/problems/") for problem in listed}
    words = json.dumps(listed).lower()
    assert [word for word in ("bearer", "oauth", "stock", "ordered") if word in words] == []


def test_a_post_with_an_idempotency_key_is_carried_out_once(ada: Caller):
    key = {"idempotency-key": str(uuid.uuid4())}
    first, second = (ada.post("/api/drafts/", {"text": "a"}, **key) for _ in range(2))
    assert (first.content, first.status_code) == (second.content, second.status_code)
    assert second["Idempotent-Replayed"] == "true"
    assert Draft.objects.count() == 1
    assert ada.post("/api/drafts/", {"text": "b"}, **key).status_code == 422


def test_an_etag_refuses_an_outdated_write(ada: Caller):
    made = ada.post("/api/drafts/", {"text": "a"})
    path, tag = f"/api/drafts/{made.json()['id']}/", made["ETag"]
    assert ada.get(path, **{"if-none-match": tag}).status_code == 304
    assert ada.put(path, {"text": "b"}, **{"if-match": tag}).status_code == 200
    assert ada.put(path, {"text": "c"}, **{"if-match": tag}).status_code == 412
    assert Draft.objects.get().text == "b"


def test_requests_are_limited_by_user(ada: Caller, settings: Any):
    settings.LOCKSTEP = settings.LOCKSTEP | {"REST_RATE_LIMIT": 2}
    limiter._counts.clear()
    answers = [ada.get("/api/webhooks/") for _ in range(3)]
    assert {answer.status_code for answer in answers[:2]} == {200}
    assert (answers[2].status_code, "Retry-After" in answers[2].headers) == (429, True)
    assert "RateLimit" in answers[0].headers
    assert Caller("bob").get("/api/webhooks/").status_code == 200


def test_a_write_is_attributed_and_refused_once_the_account_is_not_active(staff: Caller):
    actor = UserActor(staff.person)
    with attributed_transaction(actor=actor):
        Article.objects.create(title="a")
    assert LoggedChange.objects.get(model="blog.article").actor == f"user:{staff.person.pk}"
    Person.objects.update(is_staff=False)
    with pytest.raises(PermissionDenied), attributed_transaction(actor=actor):
        Article.objects.create(title="b")
    Person.objects.update(is_active=False)
    with pytest.raises(AuthenticationFailed), attributed_transaction(actor=actor):
        Article.objects.create(title="c")
    assert [row.title for row in Article.objects.all()] == ["a"]


def test_an_actor_without_an_expression_needs_no_confirmation():
    actor = Actor("process:import")
    confirm(actor)
    with attributed_transaction(actor=actor):
        Article.objects.create(title="a")
    assert LoggedChange.objects.get(model="blog.article").actor == "process:import"


def test_a_user_model_may_have_its_columns_in_a_parents_table(monkeypatch: pytest.MonkeyPatch):
    editor = Editor.objects.create_user("eve", is_staff=True)
    monkeypatch.setattr(users, "get_user_model", lambda: Editor)
    actor = UserActor(editor)
    with attributed_transaction(actor=actor):
        Article.objects.create(title="a")
    Person.objects.filter(pk=editor.pk).update(is_active=False)
    with pytest.raises(AuthenticationFailed), attributed_transaction(actor=actor):
        Article.objects.create(title="b")


def test_users_that_the_database_cannot_be_asked_about_are_errors(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(users.router, "db_for_write", lambda model: "elsewhere")
    monkeypatch.setattr(Person, "is_active", property(lambda person: True))
    found = [message.id for message in users.users_are_readable(None)]
    assert found == ["lockstep.E028", "lockstep.E029"]


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("lockstep", ["lockstep.rest", "lockstep.webhooks", "lockstep.feed", "lockstep.console"]),
        ("lockstep.rest", ["lockstep.webhooks", "lockstep.feed"]),
    ],
)
def test_an_extra_without_what_it_builds_on_is_an_error(
    monkeypatch: pytest.MonkeyPatch, missing: str, named: list[str]
):
    monkeypatch.setattr(checks.apps, "is_installed", lambda name: name in settings.INSTALLED_APPS and name != missing)
    found = [message for message in run_checks() if message.id == "lockstep.E040"]
    assert [message.msg for message in found] == [f"{app} is in INSTALLED_APPS without {missing}." for app in named]
    assert found[0].hint == f'Add "{missing}" to INSTALLED_APPS, and run migrate.'


def test_rest_without_the_core_is_an_error_of_check():
    code = (
        "from django.conf import settings; import project.settings as own\n"
        "names = {name: getattr(own, name) for name in dir(own) if name.isupper()}\n"
        "names['INSTALLED_APPS'] = ['django.contrib.contenttypes', 'django.contrib.auth', 'lockstep.rest']\n"
        "settings.configure(**names | {'AUTH_USER_MODEL': 'auth.User', 'ROOT_URLCONF': '', 'MIDDLEWARE': []})\n"
        "import django; django.setup()\n"
        "from django.core.management import call_command; call_command('check')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "lockstep.E040) lockstep.rest is in INSTALLED_APPS without lockstep." in done.stderr


def test_checks_are_clean_without_any_setting(settings: Any):
    settings.LOCKSTEP = {}  # a deletion alone sends no signal, so that the former value would be read
    del settings.LOCKSTEP
    found = run_checks(databases=["default"], include_deployment_checks=False)
    assert [message for message in found if str(message.id).startswith(("lockstep", "urls"))] == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("WEBHOOK_ALLOW_NETWORKS", ["my network"], 'must be a list of networks such as "10.0.0.0/8"'),
        ("WEBHOOK_ALLOW_NETWORKS", "10.0.0.0/8", "must be a list"),
        ("REST_RATE_LIMIT", 0, "must be a whole number of at least 1"),
        ("WEBHOOK_DEADLINE", "15", "must be a number above 0"),
        ("REST_TRACEPARENT_TRUSTED", 1, "must be True or False"),
    ],
)
def test_a_value_that_a_setting_cannot_have_is_an_error(settings: Any, name: str, value: object, sentence: str):
    settings.LOCKSTEP = {name: value}
    [error] = [message for message in run_checks() if message.id == "lockstep.E027"]
    assert error.msg == f"LOCKSTEP[{name!r}] {sentence}, not {value!r}."
