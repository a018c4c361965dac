"""Functions of a project get the changes that they follow."""

import asyncio
import unittest

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.test import TestCase, TransactionTestCase
from project.blog.models import Article, Note, Tally
from project.blog.subscribers import given_up, open_file, opened, received, threads

import lockstep
from lockstep import resource
from lockstep.delivery import subscriptions
from lockstep.models import Lane, LoggedChange, Subscription
from lockstep.testing import Undelivered, deliver_all

pytestmark = pytest.mark.django_db(transaction=True)


def test_each_subscriber_gets_its_changes_in_order():
    article = Article.objects.create(title="a")
    article.title = "b"
    article.save()
    article.delete()
    deliver_all(strict=True)
    got = [(change.kind, change.changed & {"title"}) for change in received["titles"]]
    assert got == [("created", {"title"}), ("updated", {"title"}), ("deleted", {"title"})]
    assert received["push"][-1].kind == "deleted"
    assert [change.kind for change in received["notify"]] == ["created", "updated", "deleted"]
    assert [row.kind for row in Tally.objects.order_by("pk")] == ["created", "updated", "deleted"]


def test_a_change_has_all_documented_attributes():
    with lockstep.attributed(actor="user:1", trace="a job"):
        article = Article.objects.create(title="a")
    deliver_all(strict=True)
    [change] = received["titles"]
    assert (change.model, change.object_id, change.kind, change.before) == (
        "blog.article",
        str(article.pk),
        "created",
        None,
    )
    assert (change.actor, change.origin, change.trace, change.attempt) == ("user:1", None, "a job", 1)
    assert change.after["title"] == "a"
    assert change.transaction > 0
    assert change.id.version == 5
    assert change.id != received["notify"][0].id


def test_plain_functions_run_in_threads_and_resources_are_opened_once():
    Article.objects.bulk_create(Article(title=str(n)) for n in range(5))
    deliver_all(strict=True)
    assert len(received["notify"]) == 5
    assert all("MainThread" not in name for name in threads)
    assert sorted(opened) == ["client", "closed", "file"]


def test_only_changed_columns_and_other_origins_are_delivered():
    with lockstep.attributed(origin="crm"):
        Article.objects.create(title="from the CRM")
    article = Article.objects.create(title="ours")
    Article.objects.filter(pk=article.pk).update(body="b")
    Article.objects.filter(pk=article.pk).update(title="c")
    deliver_all(strict=True)
    assert [change.after["title"] for change in received["titles"]] == ["ours", "c"]


def test_a_transactional_function_writes_once_or_not_at_all():
    Article.objects.create(title="counted")
    Article.objects.create(title="not to be counted")
    left = deliver_all()
    assert [row.kind for row in Tally.objects.all()] == ["created"]
    assert [(row.name, row.reason) for row in left.waiting] == [
        ("blog.tally", "fails (RetryLater: ValueError: after it was written)")
    ]
    with pytest.raises(Undelivered, match=r"blog\.tally: 1 to deliver: fails \(RetryLater: ValueError: after it was"):
        deliver_all(strict=True)


def test_a_rejected_change_is_a_dead_letter_and_calls_on_dead_letter():
    Note.objects.create(slug="a", text="never")
    Note.objects.create(slug="b", text="later")
    left = deliver_all()
    assert {letter.cause for letter in left.dead_letters} == {"Rejected: 422", "RetryLater: 503"}
    assert sorted(given_up) == [("a", "Rejected: 422"), ("b", "RetryLater: 503")]
    with pytest.raises(Undelivered, match=r"blog\.note a: Rejected: 422"):
        deliver_all(strict=True)


def test_operators_of_a_project_pause_resume_rewind_and_replay():
    notes = lockstep.subscription("notes")
    Note.objects.create(slug="a", text="never")
    deliver_all()
    assert notes.replay_dead_letters(plan=True).changes == 1
    [first] = received["notes"]
    notes.replay_dead_letters()
    deliver_all()
    assert [change.id for change in received["notes"]] == [first.id] * 2
    notes.pause(reason="maintenance")
    Note.objects.create(slug="b", text="fine")
    deliver_all()
    assert len(received["notes"]) == 2
    assert notes.status().state == "paused"
    notes.resume()
    deliver_all()
    assert received["notes"][-1].object_id == "b"
    assert notes.rewind(plan=True).changes == 2
    notes.rewind()
    deliver_all()
    assert len(received["notes"]) == 5
    assert notes.discard_dead_letters(reason="of a test") == 2
    assert notes.dead_letters() == []


def test_deliver_all_in_a_transaction_names_transaction_test_case():
    class Wrong(TestCase):
        def runTest(self):
            deliver_all()

    result = unittest.TestResult()
    unittest.TestSuite([Wrong()]).run(result)
    assert "TransactionTestCase" in str(result.errors or result.failures)


def test_deliver_all_after_its_timeout_says_what_is_left():
    Note.objects.create(slug="a", text="slow")
    with pytest.raises(Undelivered, match=r"There are still changes to deliver after 0\.2 s\..* notes: 1 to deliver"):
        deliver_all(timeout=0.2)


class TestOfDjango(TransactionTestCase):
    """Works in Django's own tests, and leaves nothing for the next one."""

    async def test_changes_are_delivered_in_a_coroutine(self):
        await Article.objects.acreate(title="a")
        assert deliver_all(strict=True).waiting == []
        await Article.objects.acreate(title="b")
        assert (await asyncio.to_thread(deliver_all, strict=True)).dead_letters == []
        assert [change.after["title"] for change in received["titles"]] == ["a", "b"]

    def test_changes_are_delivered(self):
        Article.objects.create(title="a")
        deliver_all(strict=True)
        assert len(received["titles"]) == 1

    def test_rows_of_the_test_before_are_gone(self):
        assert (LoggedChange.objects.count(), Lane.objects.count()) == (0, 0)
        assert Subscription.objects.count() == 5
        Article.objects.create(title="b")
        deliver_all(strict=True)
        assert len(received["titles"]) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"models": ()}, "name what it follows"),
        ({"batch": 5}, "only a transactional subscriber has a batch"),
        ({"only_changed": ["title"], "kind": "state"}, "only_changed is for events"),
        ({"only_changed": "title"}, r'only_changed is a list of columns: \["title"\]'),
        ({"kind": "events"}, 'kind must be "event" or "state", not \'events\''),
        ({"concurrency": 0}, "concurrency must be a whole number of at least 1, not 0"),
        ({"concurrency": 0, "transactional": True}, "concurrency must be a whole number of at least 1, not 0"),
        ({"cap": "many"}, "cap must be a whole number of at least 1, not 'many'"),
        ({"batch": 0, "transactional": True}, "batch must be a whole number of at least 1, not 0"),
        ({"deadline": 0}, "deadline must be a number of seconds above 0, not 0"),
        ({"deadline": float("inf")}, "deadline must be a number of seconds above 0, not inf"),
        ({"deadline": None}, "deadline must be a number of seconds above 0, not None"),
        ({"on_dead_letter": lambda change: None}, "on_dead_letter is called with the change and the cause"),
        ({"retry": 5}, "retry is a list of seconds from 0 to 36,000"),
        ({"retry": "5"}, "retry is a list of seconds from 0 to 36,000"),
        ({"retry": [100_000]}, "retry is a list of seconds from 0 to 36,000"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, sentence):
    def function(change):
        pass

    models = options.pop("models", ("blog.article",))
    with pytest.raises(ValueError, match=sentence):
        lockstep.subscriber(*models, **options)(function)


@pytest.mark.parametrize("model", ["article", "blog.article.create", "blog.art*", "", Article])
def test_what_is_no_label_is_refused(model):
    with pytest.raises(ValueError, match=r'is none of "app\.model"'):
        lockstep.subscriber(model)(lambda change: None)


@pytest.mark.parametrize(
    ("followed", "hint"),
    [
        ("blog.artcle", "Did you mean 'blog.article'?"),
        ("blgo.*", "Did you mean 'blog.*'?"),
        ("blog.artcle.created", "Did you mean 'blog.article.created'?"),
        ("nothing.alike", "Captured are: auth.group, blog.article, blog.article_tags, blog.note, people.person."),
        ("blog.tally", 'Put @capture("column", …) before the class, or capture.register(\'blog.Tally\', "column", …).'),
        ("blog.articleproxy", "Did you mean 'blog.article'? A proxy has no table, and no changes of its own."),
    ],
)
def test_a_subscriber_of_no_captured_model_is_an_error_of_check(monkeypatch, followed, hint):
    """Nothing was delivered, and all was said to be well."""
    proxy = type(
        "ArticleProxy", (Article,), {"Meta": type("Meta", (), {"proxy": True}), "__module__": Article.__module__}
    )
    monkeypatch.setattr(subscriptions, "_registered", {})
    lockstep.subscriber("blog.Article", "*", "blog.*", "blog.note.deleted", followed, name="a")(lambda change: None)
    try:
        [error] = [message for message in run_checks() if message.id == "lockstep.E030"]
    finally:
        apps.all_models["blog"].pop(proxy._meta.model_name)
        apps.clear_cache()
    assert error.msg == f"The subscriber 'a' follows {followed!r}: no captured model."
    assert error.hint == hint


@pytest.mark.parametrize(
    ("models", "columns", "faults"),
    [
        (["blog.article"], ["title", "body"], []),
        (["blog.article"], ["titel"], [("titel", "Did you mean 'title'?")]),
        (["blog.article_tags"], ["tag"], [("tag", "Did you mean 'tag_id'?")]),
        (["blog.note"], ["title", "text"], [("title", "Captured are: text.")]),
        (["blog.*"], ["title", "text", "email"], [("email", None)]),
        (["*"], ["email", "secret"], [("secret", None)]),
    ],
)
def test_a_column_of_only_changed_that_is_not_captured_is_an_error_of_check(monkeypatch, models, columns, faults):
    """Creations arrived, and every update was skipped."""
    monkeypatch.setattr(subscriptions, "_registered", {})
    lockstep.subscriber(*models, only_changed=columns, name="a")(lambda change: None)
    found = [message for message in run_checks() if message.id == "lockstep.E031"]
    assert [each.msg for each in found] == [
        f"The subscriber 'a' has only_changed={name!r}: no captured column." for name, _ in faults
    ]
    assert all(hint in (None, each.hint) for (_, hint), each in zip(faults, found, strict=True))


def without_parameters():
    pass


def with_two_parameters(change, client):
    pass


FILE = resource(open_file)


def with_a_resource_only(change=FILE):
    pass


@pytest.mark.parametrize("function", [without_parameters, with_two_parameters, with_a_resource_only])
@pytest.mark.parametrize(("transactional", "called_with"), [(False, "a change"), (True, "a list of changes")])
def test_a_function_of_other_parameters_is_refused(function, transactional, called_with):
    """Else each delivery would fail."""
    sentence = f"it is called with {called_with}, and .* takes other parameters|has no resources"
    with pytest.raises(ValueError, match=sentence):
        lockstep.subscriber("blog.article", transactional=transactional)(function)


def test_a_subscriber_without_parentheses_is_refused():
    """Nothing was registered, silently."""
    with pytest.raises(ValueError, match="@subscriber needs parentheses"):

        @lockstep.subscriber
        def function(change):
            pass


@pytest.mark.parametrize("opened", [open_file(), open, "a client"])
def test_what_opens_no_resource_is_refused(opened):
    with pytest.raises(ValueError, match="name a function without parameters that returns a context manager"):
        lockstep.resource(opened)


def test_a_transactional_coroutine_is_refused():
    async def function(changes):
        pass

    with pytest.raises(ValueError, match="a transactional subscriber is a plain function"):
        lockstep.subscriber("blog.article", transactional=True)(function)
