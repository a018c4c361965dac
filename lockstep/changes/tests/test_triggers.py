"""The capture triggers are those that are declared, over the columns that there are, whatever changes a table."""

import json

import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.test.utils import isolate_apps

from backend.posts.models import Post
from lockstep.changes.capture import Capture, declared
from lockstep.changes.columns import document
from lockstep.changes.models import LoggedChange
from lockstep.changes.triggers import install_triggers

pytestmark = pytest.mark.django_db


def insert(**columns: str) -> None:
    names, values = ", ".join(columns), ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO posts_post ({names}) VALUES ({values})", list(columns.values()))


def last() -> dict:
    after = LoggedChange.objects.order_by("-seq")[0].after
    assert after is not None
    return after


@pytest.fixture
def editor():
    """Of a migration. Each test is a transaction, which is rolled back."""

    def make() -> BaseDatabaseSchemaEditor:
        return connection.schema_editor(atomic=False)

    return make


def field(name: str) -> models.Field:
    made = models.TextField(null=True)
    made.set_attributes_from_name(name)
    made.model = Post
    return made


def test_a_captured_column_that_is_dropped_stops_no_writer(editor):
    with editor() as schema:
        schema.remove_field(Post, Post._meta.get_field("title"))
    insert(body="a")
    assert "title" not in last()
    assert last()["body"] == "a"


def test_a_captured_column_is_captured_from_the_transaction_on_that_adds_it(editor, monkeypatch: pytest.MonkeyPatch):
    with editor() as schema:
        schema.remove_field(Post, Post._meta.get_field("title"))
    with editor() as schema:
        schema.add_field(Post, field("title"))
    insert(title="a", body="b")
    assert last()["title"] == "a"


def test_a_column_that_is_renamed_by_plain_sql_in_a_migration_stops_no_writer(editor):
    with editor() as schema:
        schema.execute("ALTER TABLE posts_post RENAME title TO heading")
    insert(heading="a", body="b")
    assert last().keys() == {"number", "user_id", "body"}


def test_a_table_that_is_renamed_has_one_change_for_one_write(editor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Post._meta, "db_table", "posts_article")
    with editor() as schema:
        schema.alter_db_table(Post, "posts_post", "posts_article")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO posts_article (title, body) VALUES ('a', '')")
        cursor.execute("SELECT proname FROM pg_proc WHERE proname LIKE 'lockstep_capture_%posts_post%'")
        assert cursor.fetchall() == []
    assert [change.after["title"] for change in LoggedChange.objects.filter(model="posts.post") if change.after] == [
        "a"
    ]


def test_a_model_that_is_not_declared_any_more_loses_its_triggers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(declared(), "posts.post")
    install_triggers(connection)
    insert(title="a", body="b")
    assert LoggedChange.objects.count() == 0


def test_other_columns_are_captured_as_soon_as_they_are_declared(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(declared(), "posts.post", [Capture("posts.post", ("title",), soft_delete="deleted")])
    assert len(install_triggers(connection)) == 4  # functions alone: no table is locked
    insert(title="a", body="b")
    assert last() == {"title": "a"}


def test_nothing_is_done_where_nothing_differs():
    assert install_triggers(connection) == []


@isolate_apps("backend.posts")
def test_a_document_has_more_columns_than_a_function_has_arguments():
    columns = tuple(f"n{number}" for number in range(120))
    fields = {name: models.IntegerField() for name in columns}
    wide = type("Wide", (models.Model,), {"__module__": Post.__module__, **fields})
    values = ", ".join(f"{number} AS n{number}" for number in range(120))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ({document(wide, columns, 'n')})::text FROM (SELECT {values}) n")
        [found] = cursor.fetchone()
    assert json.loads(found) == {f"n{number}": number for number in range(120)}


@isolate_apps("backend.posts")
def test_decimals_are_strings_wherever_they_are():
    class Priced(models.Model):
        price = models.DecimalField(max_digits=20, decimal_places=2)
        total = models.GeneratedField(expression=models.F("price"), output_field=price.clone(), db_persist=True)
        prices = ArrayField(price.clone())

        class Meta:
            app_label = "posts"

    columns = ("price", "total", "prices")
    values = "SELECT 1.10 AS price, 12345678901234567.10 AS total, '{1.10, NULL}'::numeric[] AS prices"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ({document(Priced, columns, 'n')})::text FROM ({values}) n")
        [found] = cursor.fetchone()
    assert json.loads(found) == {"price": "1.10", "total": "12345678901234567.10", "prices": ["1.10", None]}
