"""The console's life of an object and its live changes, and the History of the admin, in a project of its own."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from kit.log import without_triggers
from kit.operators import person, signed_in
from project.blog.models import Article, Note, Tag
from project.people.models import Person

from lockstep import attributed
from lockstep.console.reads import changes as reads
from lockstep.delivery import operations, remote_copies
from lockstep.delivery.epochs import Epochs
from lockstep.delivery.remote_copies import RemoteCopy
from lockstep.delivery.subscriptions import Change
from lockstep.models import Attempt, DeadLetter, Delivery, Epoch, Lane, LoggedChange, Subscription

pytestmark = [pytest.mark.extras, pytest.mark.django_db(transaction=True)]

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def operator() -> Client:
    return signed_in(person("operator", "view_subscription"))


def life(row: Any) -> str:
    return f"/console/objects/{row._meta.label_lower}/{quote(str(row.pk), safe='')}/"


def read(client: Client, address: str, status: int = 200) -> str:
    """The page as text: without tags, and with single spaces."""
    response = client.get(address)
    assert response.status_code == status, response.content[:500]
    text = re.sub(r"<[^>]*>", " ", response.content.decode())
    return re.sub(r"\s+", " ", text)


def change_of(row: Any, kind: str = "created") -> LoggedChange:
    return LoggedChange.objects.filter(model=row._meta.label_lower, object_id=str(row.pk), kind=kind).latest("seq")


def subscribe(name: str, *follows: str, kind: str = "event", **columns: Any) -> Subscription:
    """A subscription that is older than every change."""
    values = {"created": timezone.now() - timedelta(days=1)} | columns
    return Subscription.objects.create(name=name, kind=kind, follows=list(follows or ["blog.article.*"]), **values)


def place(*names: str) -> None:
    """Moves these subscriptions to the end of the log, as the relay does."""
    with connection.cursor() as cursor:
        sql = "UPDATE lockstep_subscription SET place_id = lockstep_new_place() WHERE name = ANY (%s)"
        cursor.execute(sql, [list(names)])


def wait(name: str, *changes: LoggedChange, **columns: Any) -> Lane:
    """These changes wait in the object's lane."""
    lane = Lane.objects.create(subscription_id=name, model=changes[0].model, object_id=changes[0].object_id, **columns)
    for change in changes:
        Delivery.objects.create(lane_id=lane.pk, seq=change.seq, at=change.at)
    return lane


def letter(name: str, change: LoggedChange, **columns: Any) -> DeadLetter:
    values = {"message_id": uuid4(), "attempts": 8, "cause": "HTTP 500"} | columns
    return DeadLetter.objects.create(
        subscription_id=name, model=change.model, object_id=change.object_id, seq=change.seq, at=change.at, **values
    )


def deliveries(client: Client, row: Any, place: int = 0) -> dict[str, tuple[str, str]]:
    """State and sentence of one of the object's changes, the newest by default, at each subscription."""
    response = client.get(life(row))
    assert response.status_code == 200
    return {each.target: (each.state, each.sentence) for each in response.context["entries"][place].deliveries}


# --- Access and policy ---


@pytest.mark.parametrize("address", ["/console/changes/", "/console/objects/blog.article/1/"])
def test_a_page_is_for_staff_with_the_permission_alone(address: str):
    Article.objects.create(pk=1, title="a")
    assert Client().get(address)["Location"].startswith("/admin/login/?next=")
    assert signed_in(person("without", "change_article")).get(address).status_code == 403
    assert signed_in(person("no staff", "view_subscription", is_staff=False)).get(address).status_code == 403
    response = signed_in(person("viewer", "view_subscription")).get(address)
    assert response.status_code == 200
    assert response["Content-Security-Policy"].startswith("default-src 'none'")
    assert not re.search(r"\sstyle\s*=|<style|\son\w+\s*=|<script(?![^>]*\ssrc=)", response.content.decode())


@pytest.mark.parametrize(
    "address",
    [
        "/console/objects/blog.article/1/",
        "/console/objects/blog.article/x/",
        "/console/objects/blog.article/%00/",
        "/console/objects/no.model/1/",
        "/console/objects/nothing/1/",
        "/console/changes/?before=x",
        "/console/changes/?before=-1",
        "/console/changes/?before=99999999999999999999",
        "/console/changes/?actor=%00",
        f"/console/changes/?trace={'x' * 501}",
    ],
)
def test_what_there_is_not_is_not_found(operator: Client, address: str):
    assert operator.get(address).status_code == 404


# --- The life of an object ---


def test_an_object_shows_who_changed_what_and_when(operator: Client):
    ada = person("ada")
    with attributed(actor=f"user:{ada.pk}", trace="request-1"):
        article = Article.objects.create(title="first", price="1.5")
    with attributed(actor="process:import", origin="crm"):
        Article.objects.filter(pk=article.pk).update(title="second")
    text = read(operator, life(article))
    newest, oldest = text.split(" created ")[-2:]
    assert "updated" in newest and "by process:import" in newest and "from crm" in newest
    assert "title first second" in newest and "6 unchanged columns" in newest
    assert "by ada" in oldest and "request request-1" in oldest and "1.5000" in oldest
    address = life(article)
    article.delete()
    assert "its row is gone" in read(operator, address)


def test_an_object_is_paged_by_keyset(operator: Client):
    article = Article.objects.create(title="0")
    for number in range(1, 45):
        Article.objects.filter(pk=article.pk).update(title=str(number))
    address, seen = life(article), list[str]()
    for count in (20, 20, 5):
        page = operator.get(address).content.decode()
        found = re.findall(r'<li id="change-(\d+)"', page)
        assert len(found) == count
        seen += found
        older = re.findall(r'href="([^"]+\?before=\d+)"', page)
        address = older[0] if older else ""
    assert not address
    assert seen == [str(change.seq) for change in LoggedChange.objects.filter(model="blog.article").order_by("-seq")]


def test_a_key_may_have_any_characters(operator: Client):
    for key in ("a/b", "ä ö", "50%", "a?b#c"):
        note = Note.objects.create(slug=key, text="t")
        assert f"blog.note {key}" in read(operator, life(note))


def test_an_object_that_is_older_than_the_log_has_a_page(operator: Client):
    article = Article.objects.create(title="old")
    forget_log()
    assert "The log has no change of it" in read(operator, life(article))


def forget_log() -> None:
    """Empties the log, as retention does."""
    with transaction.atomic(), connection.cursor() as cursor, without_triggers(cursor, "lockstep_change"):
        cursor.execute("DELETE FROM lockstep_change")


# --- Deliveries ---


def test_a_change_is_followed_to_every_subscription(operator: Client):
    article = Article.objects.create(title="a")
    subscribe("behind")
    subscribe("elsewhere", "blog.note.*")
    subscribe("young", created=timezone.now())
    subscribe("echo", skip_origin="crm")
    with attributed(origin="crm"):
        Article.objects.filter(pk=article.pk).update(title="b")
    created, updated = change_of(article), change_of(article, "updated")
    for name in ("idle", "busy", "failing", "deaf", "later", "dead", "discarded", "replayed", "paused", "off"):
        subscribe(name)
    subscribe("latest", kind="state")
    soon = timezone.now() + timedelta(seconds=330)
    wait("busy", created, updated, next_at=soon, token=7)
    wait("failing", updated, next_at=soon, attempts=3, failure="failed", cause="HTTP 500")
    wait("deaf", updated, next_at=soon, attempts=1, failure="unreachable", cause="refused")
    wait("later", updated, next_at=soon, failure="not yet", cause="no parent")
    wait("paused", updated)
    wait("latest", created, updated)
    letter("dead", updated)
    letter("discarded", updated, outcome="discarded", reason="a duplicate")
    letter("replayed", updated, outcome="replayed")
    operations.pause("paused", reason="for now")
    operations.disable("off", reason="not needed")
    place(*Subscription.objects.exclude(name="behind").values_list("name", flat=True))
    found = deliveries(operator, article)
    assert found == {
        "blog.notify": ("done", "Done."),
        "blog.push": ("done", "Done, by this state or a later one."),
        "blog.tally": ("done", "Done."),
        "blog.titles": ("none", "Not sent back to crm, where it came from."),
        "behind": ("waiting", "Not fanned out yet."),
        "busy": ("waiting", f"Waits behind change {created.seq:,}."),
        "dead": ("dead", "A dead letter after 8 attempts."),
        "deaf": ("failing", "No answer. Next try in 5 min."),
        "discarded": ("none", "Its dead letter was discarded: a duplicate."),
        "echo": ("none", "Not sent back to crm, where it came from."),
        "failing": ("failing", "Failed 3 times. Next try in 5 min."),
        "idle": ("done", "Done."),
        "later": ("waiting", "Waits for another delivery. Next try in 5 min."),
        "latest": ("waiting", "Waits for a worker."),
        "off": ("none", "Not sent: the subscription is disabled. not needed"),
        "paused": ("waiting", "The subscription is paused: for now."),
        "replayed": ("done", "Done, after its dead letter was replayed."),
        "young": ("done", "Done."),
    }
    before = deliveries(operator, article, 1)
    assert (before["busy"], before["latest"]) == (
        ("waiting", "Being delivered now."),
        ("waiting", "A later state is sent instead."),
    )
    assert before["young"] == ("none", "Not sent: the subscription is younger.")
    text = read(operator, life(article))
    assert "HTTP 500" in text and "no parent" in text and "The dead letter" in text


def test_a_family_is_one_line_with_those_in_trouble(operator: Client):
    for number in range(30):
        subscribe(f"webhook:{number:02}")
    article = Article.objects.create(title="a")
    change = change_of(article)
    place(*Subscription.objects.exclude(name__in=("webhook:07", "webhook:08")).values_list("name", flat=True))
    soon = timezone.now() + timedelta(seconds=60)
    wait("webhook:03", change, next_at=soon, attempts=2, failure="failed", cause="answered 503")
    wait("webhook:04", change)
    letter("webhook:05", change)
    [family] = [each for each in operator.get(life(article)).context["entries"][0].deliveries if each.is_family]
    assert (family.target, family.state, family.cause) == ("webhook", "dead", "HTTP 500")
    assert family.sentence == (
        "30 subscriptions follow it now; not fanned out yet for 2, waits for 2, 1 of them after a failure, "
        "next try now, 1 dead letter."
    )
    assert family.troubled == ("webhook:03", "webhook:04", "webhook:05")
    DeadLetter.objects.all().delete()
    Lane.objects.all().delete()
    place("webhook:07", "webhook:08")
    assert deliveries(operator, article)["webhook"] == ("done", "30 subscriptions follow it now; nothing waits.")


def test_recorded_attempts_are_listed_with_their_answers(operator: Client):
    epoch = Epoch.objects.create(number=1, system_identifier="1", timeline=1)
    article = Article.objects.create(title="a")
    change = change_of(article)
    subscribe("webhook:a")
    sent = Change(change.seq, change.at, change.model, change.object_id, "created", None, None)
    values = {
        "model": change.model,
        "object_id": change.object_id,
        "kind": "created",
        "seq": change.seq,
        "at": change.at,
    }
    for number, status, cause in ((1, 503, "answered 503"), (2, 204, None)):
        Attempt.objects.create(
            subscription_id="webhook:a",
            message_id=Epochs(epoch.pk).message_id(sent, "webhook:a"),
            number=number,
            began=timezone.now(),
            seconds=0.25,
            failure="failed" if cause else None,
            cause=cause,
            receipt={"status": status},
            **values,
        )
    [found] = [each for each in operator.get(life(article)).context["entries"][0].deliveries if each.is_family]
    assert [(each.number, each.status, each.cause) for each in found.attempts] == [
        (2, "204", None),
        (1, "503", "answered 503"),
    ]
    assert "2 recorded attempts" in read(operator, life(article))


def test_copies_in_other_systems_are_shown(operator: Client, monkeypatch: pytest.MonkeyPatch):
    now = timezone.now()

    def copies(model: str, object_id: str) -> Iterable[RemoteCopy]:
        yield RemoteCopy("crm", "people", f"{model}/{object_id}", "Acknowledged.", True, (("Acknowledged", now),))
        yield RemoteCopy("erp", "people", None, "It was never sent there.", False)

    monkeypatch.setattr(remote_copies, "_readers", [copies])
    article = Article.objects.create(title="a")
    text = read(operator, life(article))
    assert f"crm people blog.article/{article.pk} : in step Acknowledged." in text
    assert "erp people: look It was never sent there." in text


def test_a_page_takes_the_same_queries_however_much_there_is(operator: Client):
    def page(number: int) -> str:
        article = Article.objects.create(title="a")
        for title in range(number):
            Article.objects.filter(pk=article.pk).update(title=f"{number} {title}")
        for change in LoggedChange.objects.filter(model="blog.article", object_id=article.pk):
            letter("own", change)
        for member in range(number):
            subscribe(f"webhook:{number}-{member}")
            wait(f"webhook:{number}-{member}", change_of(article, "updated"))
        wait("own", change_of(article, "updated"))
        return life(article)

    Epoch.objects.create(number=1, system_identifier="1", timeline=1)
    subscribe("own")
    counts = []
    operator.get(page(2))  # what is kept by the process
    for number in (1, 30):
        address = page(number)
        for each in (address, "/console/changes/", "/console/changes/?model=blog.article"):
            with CaptureQueriesContext(connection) as queries:
                operator.get(each)
            counts.append(len(queries))
    assert counts[:3] == counts[3:] and max(counts) <= 16


# --- Live changes ---


def listed(client: Client, **parameters: object) -> list[tuple[str, str]]:
    """Model and kind of the changes on the page, and whether it names the others."""
    response = client.get("/console/changes/", parameters)
    assert response.status_code == 200
    return [(line.change.model, line.change.kind) for line in response.context["lines"]]


def test_changes_are_listed_newest_first_and_filtered(operator: Client):
    ada = person("ada")
    forget_log()
    with attributed(actor=f"user:{ada.pk}", trace="request-1"):
        article = Article.objects.create(title="first")
    with attributed(actor="process:import", origin="crm"):
        Article.objects.filter(pk=article.pk).update(title="second")
    Note.objects.create(slug="n", text="t")
    created, updated, note = ("blog.article", "created"), ("blog.article", "updated"), ("blog.note", "created")
    assert listed(operator) == [note, updated, created]
    assert listed(operator, model="blog.article") == [updated, created]
    assert listed(operator, kind="created") == [note, created]
    assert listed(operator, object_id=article.pk) == [updated, created]
    assert listed(operator, object_id=article.pk, kind="created") == [created]
    assert listed(operator, actor="ada") == listed(operator, actor=f"user:{ada.pk}") == [created]
    assert listed(operator, actor="process:import") == listed(operator, origin="crm") == [updated]
    assert listed(operator, trace="request-1") == [created]
    assert listed(operator, model="", kind=" ", origin="nothing") == []
    assert listed(operator, actor="nemo") == []
    assert "No user has the name nemo" in read(operator, "/console/changes/?actor=nemo")
    text = read(operator, "/console/changes/")
    assert "title first → became second" in text and "from crm" in text


def test_changes_of_a_request_are_linked(operator: Client):
    with attributed(trace="request 1"):
        Article.objects.create(title="a")
        Note.objects.create(slug="n", text="t")
    [line, _] = operator.get("/console/changes/?trace=request+1").context["lines"]
    assert len(operator.get(line.request_address).context["lines"]) == 2


def test_a_filter_looks_at_a_window_of_the_log(operator: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reads, "WINDOW", 5)
    forget_log()
    Note.objects.create(slug="n", text="t")
    for number in range(7):
        Article.objects.create(title=str(number))
    page = operator.get("/console/changes/?model=blog.note")
    assert page.context["lines"] == []
    assert "The newest 5 changes were looked at" in re.sub(r"\s+", " ", page.content.decode())
    older = operator.get(page.context["older_address"])
    assert [line.change.model for line in older.context["lines"]] == ["blog.note"]
    assert older.context["older_address"] == ""


def test_changes_are_paged_by_keyset(operator: Client):
    forget_log()
    for number in range(60):
        Article.objects.create(title=str(number))
    first = operator.get("/console/changes/?kind=created")
    second = operator.get(first.context["older_address"])
    titles = [line.change.after["title"] for page in (first, second) for line in page.context["lines"]]
    assert titles == [str(number) for number in range(59, -1, -1)]
    assert second.context["older_address"] == "" and "kind=created" in first.context["older_address"]


def test_values_are_cut(operator: Client):
    article = Article.objects.create(title="x" * 5_000, body="")
    page = operator.get(life(article)).content.decode()
    assert "x" * 401 not in page and "5,000 characters" in page and "empty" in page
    assert "x" * 61 not in operator.get("/console/changes/").content.decode()


# --- Escaping ---


def test_stored_texts_are_escaped(operator: Client):
    with attributed(actor=f"process:{ATTACK}", origin=ATTACK, trace=ATTACK):
        article = Article.objects.create(title=ATTACK, body=ATTACK)
        Article.objects.filter(pk=article.pk).update(body="b")
        note = Note.objects.create(slug=ATTACK[:50], text=ATTACK)
    Subscription.objects.filter(name="blog.push").update(state="paused", reason=ATTACK)
    subscribe(f"own{ATTACK}")
    wait(f"own{ATTACK}", change_of(article), failure="failed", cause=ATTACK)
    letter("blog.notify", change_of(article), outcome="discarded", reason=ATTACK)
    letter("blog.tally", change_of(article), cause=ATTACK)
    admin = signed_in(Person.objects.create_superuser("root"))
    history = f"/admin/blog/article/{article.pk}/history/"
    filtered = f"/console/changes/?trace={quote(ATTACK)}&actor={quote(ATTACK)}&model={quote(ATTACK)}"
    for address in (life(article), life(note), "/console/changes/", filtered, history):
        text = admin.get(address).content.decode()
        assert "<script>alert" not in text and "<img" not in text, address
    for address in (life(article), "/console/changes/", history):
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in admin.get(address).content.decode()


# --- The History of the admin ---


def test_the_history_of_the_admin_is_the_change_log(operator: Client):
    ada = person("ada")
    with attributed(actor=f"user:{ada.pk}"):
        article = Article.objects.create(title="first")
    Article.objects.filter(pk=article.pk).update(title="second")
    address = f"/admin/blog/article/{article.pk}/history/"
    reader = signed_in(person("reader", "view_article"))
    text = read(reader, address)
    assert "Change history: second" in text
    assert "title first second" in text and "ada" in text
    assert "Its life in the console" not in text
    both = signed_in(person("both", "view_article", "view_subscription"))
    assert f'href="{life(article)}"' in both.get(address).content.decode()
    assert operator.get(address).status_code == 403
    assert Client().get(address).status_code == 302


def test_the_history_is_paged(operator: Client):
    article = Article.objects.create(title="0")
    for number in range(1, 60):
        Article.objects.filter(pk=article.pk).update(title=str(number))
    reader = signed_in(person("reader", "view_article"))
    address = f"/admin/blog/article/{article.pk}/history/"
    first = reader.get(address).content.decode()
    assert first.count('<tr class="changed"') == 50
    [older] = re.findall(r'href="(\?before=\d+)"', first)
    second = reader.get(address + older).content.decode()
    assert "Newest changes" in second and "before=" not in second
    assert reader.get(f"{address}?before=1").status_code == 200
    assert reader.get(f"{address}?before=x").status_code == 404


def test_the_history_has_the_actions_of_the_admin():
    admin = signed_in(Person.objects.create_superuser("root"))
    note = Note.objects.create(slug="n", text="before")
    assert admin.post("/admin/blog/note/n/change/", {"slug": "n", "text": "after"}).status_code == 302
    text = read(admin, "/admin/blog/note/n/history/")
    assert "text before after" in text and "Actions in the admin" in text and "Changed Text." in text
    assert str(note) in text


def test_a_deleted_object_keeps_its_history_for_those_who_see_the_log():
    article = Article.objects.create(title="gone")
    hidden = Article.objects.create(title="hidden", removed=timezone.now())
    key = article.pk
    article.delete()
    reader = signed_in(person("reader", "view_article"))
    both = signed_in(person("both", "view_article", "view_subscription"))
    for gone in (key, hidden.pk):
        assert reader.get(f"/admin/blog/article/{gone}/history/").status_code == 302
    text = read(both, f"/admin/blog/article/{key}/history/")
    assert "deleted" in text and "gone" in text
    assert read(both, f"/admin/blog/article/{hidden.pk}/history/")
    for none in ("999999", "x"):
        assert both.get(f"/admin/blog/article/{none}/history/").status_code == 302


def test_a_model_that_is_not_captured_has_the_history_of_django():
    admin = signed_in(Person.objects.create_superuser("root"))
    tag = Tag.objects.create(name="t")
    assert "It probably wasn" in read(admin, f"/admin/blog/tag/{tag.pk}/history/")


def test_the_history_takes_the_same_queries_however_long_it_is():
    reader = signed_in(person("reader", "view_article"))
    counts = []
    reader.get(f"/admin/blog/article/{Article.objects.create(title='a').pk}/history/")  # what is kept by the process
    for number in (1, 60):
        article = Article.objects.create(title="a")
        for title in range(number):
            with attributed(actor=f"user:{title}"):
                Article.objects.filter(pk=article.pk).update(title=f"{number} {title}")
        with CaptureQueriesContext(connection) as queries:
            reader.get(f"/admin/blog/article/{article.pk}/history/")
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 10
