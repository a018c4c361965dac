"""Every committed change of a captured model is one row of the log, whatever wrote it, with the right values."""

import re
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group
from django.db import connection, transaction
from django.http import HttpRequest
from django.test import AsyncClient, Client, RequestFactory
from kit.servers import database_url, superuser_url
from project.blog.models import Article, Note, Tag

import lockstep
from lockstep.changes.imports import Resynced
from lockstep.changes.statements import WRITES
from lockstep.changes.wakeup import commit_notifier
from lockstep.middleware import AttributionMiddleware
from lockstep.models import LoggedChange

pytestmark = pytest.mark.django_db(transaction=True)


def kinds(model: str) -> list[str]:
    return list(LoggedChange.objects.filter(model=model).order_by("seq").values_list("kind", flat=True))


def last(model: str = "blog.article") -> LoggedChange:
    return LoggedChange.objects.filter(model=model).order_by("-seq")[0]


def test_orm_bulk_and_sql_are_captured_and_a_rollback_leaves_nothing():
    article = Article.objects.create(title="a")
    Article.objects.bulk_create([Article(title="b"), Article(title="c")])
    Article.objects.update(title="d")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO blog_article (title, body, secret) VALUES ('e', '', '')")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Article.objects.create(title="f")
        raise ZeroDivisionError
    article.delete()
    assert kinds("blog.article") == ["created"] * 3 + ["updated"] * 3 + ["created", "deleted"]
    assert "secret" not in (last().before or {})


def test_any_primary_key_is_the_object_id_as_text():
    article = Article.objects.create(title="a")
    Note.objects.create(slug="a-note", text="b")
    assert last().object_id == str(article.pk)
    assert last("blog.note").object_id == "a-note"


def test_values_do_not_depend_on_the_writers_session():
    values = {
        "price": Decimal("12345678901234567890.1230"),
        "published": datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC),
        "weight": 0.1,
        "span": timedelta(days=1, hours=2),
        "raw": b"\x00\xff",
    }
    documents = []
    for settings in (
        "",
        "SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET intervalstyle = 'sql_standard';"
        "SET bytea_output = 'escape'; SET extra_float_digits = -10",
    ):
        with connection.cursor() as cursor:
            cursor.execute(settings or "SELECT 1")
        Article.objects.create(title="a", **values)
        connection.close()
        documents.append(last().after)
    assert documents[0] == documents[1]
    assert documents[0]["price"] == "12345678901234567890.1230"
    assert documents[0]["published"] == "2026-01-02T03:04:05.000600Z"
    assert documents[0]["span"] == "1 day 02:00:00"
    assert documents[0]["raw"] == "\\x00ff"


def test_only_a_named_column_makes_a_soft_deletion():
    article = Article.objects.create(title="a")
    Article.objects.update(removed=datetime(2026, 1, 1, tzinfo=UTC))
    Article.objects.update(title="unseen")
    Article.objects.update(removed=None)
    assert kinds("blog.article") == ["created", "deleted", "created"]
    assert [change.object_id for change in lockstep.history(article)] == [str(article.pk)] * 3


def test_models_of_other_packages_and_tables_of_many_to_many_fields_are_captured():
    person = get_user_model().objects.create_user("ada", password="a password")
    Group.objects.create(name="writers")
    article, tag = Article.objects.create(title="a"), Tag.objects.create(name="t")
    article.tags.add(tag)
    assert last("people.person").after == {"username": "ada", "email": "", "is_active": True}
    assert last("auth.group").after == {"name": "writers"}
    assert last("blog.article_tags").after == {"article_id": article.pk, "tag_id": tag.pk}
    assert "password" not in str(list(LoggedChange.objects.filter(object_id=str(person.pk)).values("before", "after")))


def test_changes_have_their_actor_with_and_without_a_transaction():
    with lockstep.attributed(actor="user:7", origin="crm", trace="a job"):
        Article.objects.create(title="a")
        with transaction.atomic():
            Article.objects.bulk_create([Article(title="b"), Article(title="c")])
    Article.objects.create(title="d")
    found = [
        (change.actor, change.origin, change.trace)
        for change in LoggedChange.objects.filter(model="blog.article").order_by("seq")
    ]
    assert found == [("user:7", "crm", "a job")] * 3 + [(None, None, None)]


def test_an_attribution_ends_with_its_block_also_within_a_transaction():
    with transaction.atomic():
        with lockstep.attributed(actor="user:1"):
            Article.objects.create(title="a")
        Article.objects.create(title="b")
        with lockstep.attributed(actor="user:2"):
            Article.objects.create(title="c")
    assert [change.actor for change in LoggedChange.objects.filter(model="blog.article").order_by("seq")] == [
        "user:1",
        None,
        "user:2",
    ]


def test_an_attribution_survives_a_savepoint_that_is_rolled_back():
    with transaction.atomic(), lockstep.attributed(actor="user:1"):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Article.objects.create(title="a")
            raise ZeroDivisionError
        Article.objects.create(title="b")
    assert last().actor == "user:1"


@pytest.fixture
def notifications(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One for each notification of commits, which are off in tests."""
    sent: list[bool] = []
    monkeypatch.setattr(commit_notifier, "in_tests", True)
    monkeypatch.setattr(commit_notifier, "notify", lambda: sent.append(True))
    return sent


def test_writes_of_one_transaction_are_notified_once_after_its_commit(notifications: list[bool]):
    with transaction.atomic():
        Article.objects.create(title="a")
        Article.objects.create(title="b")
        assert notifications == []
    assert notifications == [True]
    Article.objects.update(title="c")
    assert notifications == [True, True]


def test_other_hooks_of_a_transaction_cause_no_second_notification(notifications: list[bool]):
    with transaction.atomic():
        Article.objects.create(title="a")
        transaction.on_commit(lambda: None)
        with transaction.atomic():
            Article.objects.create(title="b")
    assert notifications == [True]


def test_a_write_after_a_rolled_back_savepoint_is_notified(notifications: list[bool]):
    with transaction.atomic():
        with transaction.atomic():
            Article.objects.create(title="a")
            transaction.set_rollback(True)
        Article.objects.create(title="b")
    assert notifications == [True]


def test_writes_without_autocommit_are_captured_and_leave_the_commit_to_the_project(notifications: list[bool]):
    transaction.set_autocommit(False)
    try:
        with lockstep.attributed(actor="user:1"):
            Article.objects.create(title="a")
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert (last().after["title"], last().actor) == ("a", "user:1")
    assert notifications == []


def test_nothing_of_an_attribution_is_left_on_a_connection():
    with lockstep.attributed(actor="user:1"):
        Article.objects.create(title="a")
    with connection.cursor() as cursor:
        cursor.execute("SELECT nullif(current_setting('lockstep.actor', true), '')")
        assert cursor.fetchone() == (None,)


def test_an_attribution_costs_no_round_trip_of_its_own(django_assert_num_queries):
    with lockstep.attributed(actor="user:1"):
        with django_assert_num_queries(1):
            article = Article.objects.create(title="50 % of it")
        with django_assert_num_queries(1):
            assert Article.objects.filter(pk=article.pk).update(body="100 %") == 1
        with django_assert_num_queries(5), transaction.atomic():  # BEGIN, one that sets it, two that write, COMMIT
            article.save()
            article.save()
    assert article.pk
    assert last().actor == "user:1"


def test_the_middleware_names_user_and_request():
    user = get_user_model().objects.create_user("ada")
    client = Client(headers={"X-Request-ID": "request-1"})
    with lockstep.attributed():
        client.get("/create/")
    assert (last().actor, last().trace) == (None, "request-1")

    request = RequestFactory().get("/")
    request.user = user
    AttributionMiddleware(lambda request: Article.objects.create(title="a"))(request)
    assert last().actor == f"user:{user.pk}"


def test_the_middleware_reads_the_user_only_for_writes(django_assert_num_queries):
    user = get_user_model().objects.create_user("ada")
    reads = []

    class Request(HttpRequest):
        @property
        def user(self):
            reads.append(True)
            return get_user_model().objects.get(pk=user.pk)

    def view(request):
        assert list(Article.objects.all()) == []
        assert not reads
        with django_assert_num_queries(2):
            Article.objects.create(title="a")

    AttributionMiddleware(view)(Request())
    assert last().actor == f"user:{user.pk}"


def test_a_login_within_the_request_sets_the_actor():
    user = get_user_model().objects.create_user("ada")

    def view(request):
        request.user = user  # as Django REST framework does with the user of a token
        Article.objects.create(title="a")

    AttributionMiddleware(view)(RequestFactory().get("/"))
    assert last().actor == f"user:{user.pk}"


def test_a_user_who_signs_in_within_a_transaction_is_the_actor_from_then_on():
    user = get_user_model().objects.create_user("ada")

    def view(request):
        with transaction.atomic():
            Article.objects.create(title="before")
            request.user = user
            Article.objects.create(title="after")

    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    AttributionMiddleware(view)(request)
    actors = LoggedChange.objects.filter(model="blog.article").order_by("seq").values_list("actor", flat=True)
    assert list(actors) == [None, f"user:{user.pk}"]


def test_comments_do_not_make_a_statement_a_write():
    assert WRITES.match("/* a */ -- b\n DELETE")
    assert not WRITES.match("/* a */ SELECT '*/ DELETE'")
    assert not WRITES.match("/**/ " * 60 + "SELECT")  # in exponential time it would never end


def test_a_common_table_makes_a_statement_a_write_only_where_it_changes_rows():
    assert WRITES.match("WITH gone AS (DELETE FROM a RETURNING id) SELECT id FROM gone")
    assert WRITES.match("with recursive b as (select 1) insert into a select * from b")
    assert not WRITES.match("WITH b AS (SELECT updated, deleted FROM a) SELECT * FROM b")


@pytest.mark.parametrize("lead", ["/* a comment */ ", "-- SELECT\n  ", " /**/--\n", "\n"])
def test_statements_are_attributed_after_comments(lead: str):
    sql = "INSERT INTO blog_article (title, body, secret) VALUES ('e', '', '')"
    with lockstep.attributed(actor="user:1"), connection.cursor() as cursor:
        cursor.execute(lead + sql)
    assert last().actor == "user:1"


def test_asynchronous_writes_and_requests_are_attributed():
    async def write():
        async with lockstep.attributed(actor="user:9"):
            await Article.objects.acreate(title="a")
        await AsyncClient().get("/acreate/", headers={"X-Request-ID": "request-2"})

    async_to_sync(write)()
    found = list(LoggedChange.objects.filter(model="blog.article").order_by("seq").values_list("actor", "trace"))
    assert found == [("user:9", None), (None, "request-2")]


def test_an_attribution_is_carried_into_a_thread_by_its_arguments():
    def write(carried):
        with lockstep.attributed(**carried):
            Article.objects.create(title="a")
        connection.close()

    with lockstep.attributed(actor="user:3", trace="a task"):
        thread = threading.Thread(target=write, args=[dict(lockstep.current_attribution())])
        thread.start()
        thread.join()
    assert (last().actor, last().trace) == ("user:3", "a task")


def test_a_role_that_may_only_write_the_table_is_captured_with_an_empty_search_path():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        (schema,) = cursor.fetchone()
    with psycopg.connect(superuser_url(database_url()), autocommit=True) as superuser:
        superuser.execute("CREATE ROLE lockstep_writer")
        try:
            superuser.execute(f"GRANT USAGE ON SCHEMA {schema} TO lockstep_writer")
            superuser.execute(f"GRANT INSERT ON {schema}.blog_article TO lockstep_writer")
            superuser.execute(f"GRANT USAGE ON SEQUENCE {schema}.blog_article_id_seq TO lockstep_writer")
            superuser.execute("SET ROLE lockstep_writer; SET search_path = ''")
            superuser.execute(f"INSERT INTO {schema}.blog_article (title, body, secret) VALUES ('a', '', '')")
        finally:
            superuser.execute("RESET ROLE; DROP OWNED BY lockstep_writer; DROP ROLE lockstep_writer")
    assert last().after["title"] == "a"


def test_writes_of_a_migration_into_a_fresh_database_are_captured(of_migrations):
    assert [change.after["title"] for change in of_migrations if change.model == "blog.article"] == ["by a migration"]


def test_an_import_past_the_log_leaves_a_mark_and_resync_makes_the_log_right():
    kept, gone = Article.objects.create(title="kept"), Article.objects.create(title="gone")
    with lockstep.uncaptured(Article, reason="a bulk import"):
        Article.objects.bulk_create([Article(title="imported")])
        Article.objects.filter(pk=kept.pk).update(title="changed")
        gone.delete()
    assert last("lockstep.uncaptured").after == {"reason": "a bulk import"}
    assert kinds("blog.article") == ["created", "created"]
    assert lockstep.resync(Article, plan=True) == Resynced(1, 1, 1)
    assert lockstep.resync(Article) == Resynced(1, 1, 1)
    assert lockstep.resync(Article) == Resynced(0, 0, 0)
    assert sorted(kinds("blog.article")[2:]) == ["created", "deleted", "updated"]
    Article.objects.create(title="captured again")
    assert last().after["title"] == "captured again"


def test_an_import_after_other_writes_of_its_transaction_leaves_a_mark():
    article, tag = Article.objects.create(title="a"), Tag.objects.create(name="t")
    with transaction.atomic():
        article.tags.add(tag)  # its foreign keys are verified at the commit
        with lockstep.uncaptured(Article.tags.through, reason="a bulk import"):
            article.tags.clear()
    assert kinds("blog.article_tags") == ["created"]
    assert last("lockstep.uncaptured").object_id == "blog.article_tags"


def test_an_import_that_fails_is_captured_again():
    with pytest.raises(ZeroDivisionError), lockstep.uncaptured(Article, reason="a bulk import"):
        raise ZeroDivisionError
    Article.objects.create(title="a")
    assert kinds("blog.article") == ["created"]
    assert LoggedChange.objects.filter(model="lockstep.uncaptured").count() == 0


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"readers": "owner_id"}, "a captured column or a Visibility, not 'owner_id'. Did you mean 'owner'?"),
        ({"readers": "x"}, "not 'x'. Captured are: owner, title."),
        ({"staff_only": ("titel",)}, "'titel' is in staff_only and not captured. Did you mean 'title'?"),
    ],
)
def test_a_name_that_is_no_captured_column_has_a_suggestion(choice: dict, sentence: str):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        lockstep.capture.register("blog.Other", "owner", "title", **choice)
