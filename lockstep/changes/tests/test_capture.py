"""Every committed change of a captured model is one row in the log, whatever wrote it."""

from uuid import uuid4

import psycopg
import pytest
from django.db import Error, connection, transaction
from django.db.models import F

from backend.movies.models import Movie
from backend.posts.models import Comment, Post
from lockstep.changes.attribution import attributed_transaction
from lockstep.changes.context import current_trace
from lockstep.changes.models import LoggedChange

pytestmark = pytest.mark.django_db


def log(model: str = "posts.post") -> list[tuple[str, dict | None, dict | None]]:
    return [(c.kind, c.before, c.after) for c in LoggedChange.objects.filter(model=model).order_by("seq")]


def titles(model: str = "posts.post") -> list[tuple[str, str | None, str | None]]:
    return [(kind, before and before["title"], after and after["title"]) for kind, before, after in log(model)]


def test_create_update_and_delete_are_one_row_each():
    post = Post.objects.create(title="a", body="x")
    post.title = "b"
    post.save()
    post.delete()
    assert titles() == [("created", None, "a"), ("updated", "a", "b"), ("deleted", "b", None)]


def test_before_and_after_hold_the_allow_listed_columns_and_nothing_else():
    post = Post.objects.create(title="a", body="x")
    post.refresh_from_db()
    assert log() == [("created", None, {"number": post.number, "user_id": 99999942, "title": "a", "body": "x"})]


def test_password_hashes_and_tokens_never_enter_the_log(cast):
    stored = connection.cursor()
    stored.execute("SELECT count(*), string_agg(c::text, ' ') FROM lockstep_change c")
    count, text = stored.fetchone()
    assert count == 4  # the cast, and not their tokens
    assert "password" not in text
    assert cast.owner.user.password not in text


def test_bulk_statements_log_one_row_for_each_object():
    posts = Post.objects.bulk_create([Post(title=str(n), body="x") for n in range(3)])
    for post in posts:
        post.title += "!"
    Post.objects.bulk_update(posts, ["title"])
    Post.objects.filter(title="1!").update(body=F("title"))
    Post.objects.all().delete()
    assert [kind for kind, _, _ in log()] == ["created"] * 3 + ["updated"] * 4 + ["deleted"] * 3


def test_numbers_are_captured_with_any_digit_setting_of_the_session():
    Movie.objects.create(remote_id=uuid4(), title="a", rating=7.123456789012345)
    with connection.cursor() as session:
        session.execute("SET LOCAL extra_float_digits = -15")
    Movie.objects.update(rating=7.2)
    assert [after and after["rating"] for _, _, after in log("movies.movie")] == [7.123456789012345, 7.2]


def test_times_beyond_the_calendar_are_captured(cast):
    times = ["0044-03-15", "0044-03-15 BC", "infinity", "-infinity"]
    with connection.cursor() as session:
        session.execute("INSERT INTO shop_order (buyer_id, lines, total) VALUES (%s, '[]', 1)", [cast.owner.user.pk])
        for time in times:
            session.execute("UPDATE shop_order SET confirm_until = %s", [time])
    shown = [after and after["confirm_until"] for kind, _, after in log("shop.order") if kind == "updated"]
    assert len(set(shown)) == len(times)


@pytest.mark.parametrize(
    "statement",
    [
        "WITH gone AS (UPDATE posts_post SET deleted = now() RETURNING id)"
        " UPDATE posts_comment SET body = 'b' FROM gone WHERE post_id = gone.id",
        "WITH moved AS (INSERT INTO shop_movement (product_id, delta, reason)"
        " SELECT id, -1, 'CORRECTION' FROM shop_product RETURNING product_id)"
        " UPDATE shop_product SET price = 2 FROM moved WHERE id = product_id",
        "WITH moved AS (INSERT INTO shop_movement (product_id, delta, reason)"
        " VALUES ('0189c9a8-0000-7000-8000-000000000001', 1, 'CORRECTION') RETURNING product_id)"
        " INSERT INTO shop_product (id, owner_id, name, price, stock)"
        " SELECT moved.product_id, p.owner_id, 'b', 1, 1 FROM moved, shop_product p",
    ],
)
def test_statement_that_changes_an_object_twice_by_a_trigger_is_refused(cast, statement: str):
    """The log would have the change of the trigger before the one of the statement, and end with what is not there."""
    post = Post.objects.create(title="a", body="")
    Comment.objects.create(post=post, name="", email="", body="a")
    with connection.cursor() as session:
        session.execute(
            "INSERT INTO shop_product (owner_id, name, price, stock) VALUES (%s, 'a', 1, 10)", [cast.owner.user.pk]
        )
        before = LoggedChange.objects.count()
        with pytest.raises(Error, match="two statements"), transaction.atomic():
            session.execute(statement)
    assert LoggedChange.objects.count() == before


def test_statements_of_one_function_may_change_an_object_one_after_the_other(cast):
    with connection.cursor() as session:
        session.execute(
            "INSERT INTO shop_product (owner_id, name, price, stock) VALUES (%s, 'a', 1, 10)", [cast.owner.user.pk]
        )
        session.execute("""
            DO $$ BEGIN
                INSERT INTO shop_movement (product_id, delta, reason) SELECT id, -1, 'CORRECTION' FROM shop_product;
                UPDATE shop_product SET price = 2;
                INSERT INTO shop_movement (product_id, delta, reason) SELECT id, -1, 'CORRECTION' FROM shop_product;
                UPDATE shop_product SET stock = 5;
            END $$""")
    assert [after and after["stock"] for _, _, after in log("shop.product")] == [10, 9, 9, 8, 5]


def test_a_soft_deletion_is_a_deletion_and_later_writes_are_not_captured():
    post = Post.objects.create(title="a", body="x")
    Post.objects.update(deleted=post.created)
    Post.objects.update(title="unseen")
    Post.objects.all().delete()
    assert titles() == [("created", None, "a"), ("deleted", "a", None)]


def test_restoring_is_a_creation():
    post = Post.objects.create(title="a", body="x")
    Post.objects.update(deleted=post.created)
    Post.objects.update(deleted=None)
    assert titles()[-1] == ("created", None, "a")


def test_a_save_that_changes_nothing_leaves_nothing():
    post = Post.objects.create(title="a", body="x")
    post.save()
    assert len(log()) == 1


def test_a_statement_that_touches_no_row_leaves_nothing():
    assert Post.objects.filter(title="nobody").update(title="x") == 0
    assert log() == []


def test_a_changed_key_is_one_object_gone_and_another_one_there():
    post = Post.objects.create(title="a", body="x")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE posts_post SET id = gen_random_uuid()")
    kinds = {
        (c.kind, c.object_id == str(post.pk))
        for c in LoggedChange.objects.filter(model="posts.post").order_by("seq")[1:]
    }
    assert kinds == {("deleted", True), ("created", False)}


def test_shifted_keys_are_logged_by_object():
    """Keys that move along within one statement: each object is logged as what it is afterwards."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO posts_post (id, title, body) "
            "SELECT ('00000000-0000-7000-8000-00000000000' || n)::uuid, n::text, '' FROM generate_series(1, 2) n"
        )
        cursor.execute("ALTER TABLE posts_post DROP CONSTRAINT posts_post_pkey CASCADE")
        cursor.execute("UPDATE posts_post SET id = ('00000000-0000-7000-8000-00000000000' || (title::int + 1))::uuid")
    after = {c.object_id[-1]: (c.kind, c.after and c.after["title"]) for c in LoggedChange.objects.order_by("seq")[2:]}
    assert after == {"1": ("deleted", None), "2": ("updated", "1"), "3": ("created", "2")}


def test_deleting_a_post_deletes_its_comments_by_any_statement():
    for statement in ("UPDATE posts_post SET deleted = now()", "DELETE FROM posts_post"):
        post = Post.objects.create(title="a", body="x")
        Comment.objects.create(post=post, name="n", email="e", body="b")
        with connection.cursor() as cursor:
            cursor.execute(statement)
        assert [kind for kind, _, _ in log("posts.comment")][-1] == "deleted"
        assert not Comment.objects.alive().exists()
        assert not Post.objects.alive().exists()


def test_attribution_travels_with_the_transaction():
    token = current_trace.set("request-7")
    with attributed_transaction(actor="user:1", origin="somewhere"):
        Post.objects.create(title="a", body="x")
    current_trace.reset(token)
    change = LoggedChange.objects.get(model="posts.post")
    assert (change.actor, change.origin, change.trace) == ("user:1", "somewhere", "request-7")


@pytest.mark.django_db(transaction=True)
def test_attribution_ends_with_its_transaction():
    with attributed_transaction(actor="user:1", origin="somewhere"):
        Post.objects.create(title="a", body="x")
    Post.objects.create(title="b", body="x")
    assert list(LoggedChange.objects.order_by("seq").values_list("actor", "origin", "trace")) == [
        ("user:1", "somewhere", None),
        (None, None, None),
    ]


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_change_leaves_nothing():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Post.objects.create(title="a", body="x")
        raise ZeroDivisionError
    assert log() == []


def test_truncation_is_logged_as_deletions(database: psycopg.Connection):
    database.execute("INSERT INTO posts_post (title, body) VALUES ('a', ''), ('b', '')")
    database.execute("UPDATE posts_post SET deleted = now() WHERE title = 'b'")
    database.execute("TRUNCATE posts_post CASCADE")
    assert titles()[-1] == ("deleted", "a", None)
    assert len(titles()) == 4


def test_truncation_with_an_old_snapshot_is_refused(database: psycopg.Connection):
    """It would remove rows that its snapshot does not show, and log nothing of them."""
    with pytest.raises(psycopg.errors.RaiseException, match="READ COMMITTED"), database.transaction():
        database.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        database.execute("TRUNCATE posts_post CASCADE")


def test_a_comment_on_a_deleted_post_is_refused_by_the_database(database: psycopg.Connection):
    database.execute("INSERT INTO posts_post (title, body, deleted) VALUES ('gone', '', now())")
    with pytest.raises(psycopg.errors.CheckViolation, match="not deleted"):
        database.execute("INSERT INTO posts_comment (post_id, name, email, body) SELECT id, '', '', '' FROM posts_post")


@pytest.mark.parametrize("statement", ["UPDATE {} SET actor = 'another user'", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_log_and_each_of_its_partitions_are_append_only(statement: str, database: psycopg.Connection):
    database.execute("INSERT INTO posts_post (title, body) VALUES ('a', '')")
    tables = database.execute("SELECT relid::regclass::text FROM pg_partition_tree('lockstep_change')").fetchall()
    assert len(tables) >= 4
    for (table,) in tables:
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            database.execute(statement.format(table))


def test_partition_made_later_is_append_only(database: psycopg.Connection):
    with database.transaction(force_rollback=True):
        assert database.execute("SELECT lockstep_make_partitions(8)").fetchone() == (6,)
        [table] = database.execute("SELECT max(relid::regclass::text) FROM pg_partition_tree('lockstep_change')"
                                   " WHERE relid::regclass::text ~ '[0-9]$'").fetchone() or [""]  # fmt: skip
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            database.execute(f"TRUNCATE {table}")


def test_table_of_the_session_does_not_take_the_place_of_the_log(database: psycopg.Connection):
    database.execute("CREATE TEMP TABLE lockstep_change (LIKE public.lockstep_change INCLUDING DEFAULTS)")
    database.execute("INSERT INTO posts_post (title, body) VALUES ('a', '')")
    assert database.execute("SELECT count(*) FROM lockstep_change").fetchone() == (0,)
    assert titles() == [("created", None, "a")]


def test_operators_of_the_session_do_not_affect_capture(database: psycopg.Connection):
    database.execute("INSERT INTO posts_post (title, body) VALUES ('a', '')")
    database.execute(
        "CREATE FUNCTION pg_temp.same(jsonb, jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'"
    )
    with database.transaction(force_rollback=True):
        database.execute("CREATE SCHEMA own")
        database.execute("CREATE OPERATOR own.= (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = pg_temp.same)")
        database.execute("SET LOCAL search_path = own, pg_catalog, public")
        database.execute("UPDATE posts_post SET title = 'b'")
        logged = database.execute("SELECT count(*) FROM lockstep_change WHERE kind OPERATOR(pg_catalog.=) 'updated'")
        assert logged.fetchone() == (1,)


def test_session_without_search_path_writes_and_is_captured(database: psycopg.Connection):
    """As the scripts of pg_dump do."""
    database.execute("SET search_path = ''")
    database.execute("INSERT INTO public.posts_post (title, body) VALUES ('a', '')")
    database.execute("UPDATE public.posts_post SET title = 'b'")
    database.execute("INSERT INTO public.shop_tag (name) VALUES ('Été')")
    assert titles() == [("created", None, "a"), ("updated", "a", "b")]


def test_no_week_within_retention_is_dropped(database: psycopg.Connection):
    partitions = database.execute("SELECT relid::regclass::text FROM pg_partition_tree('lockstep_change')").fetchall()
    for name in [*(name for (name,) in partitions), "posts_post", None]:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no week of the change log"):
            database.execute("SELECT lockstep_drop_week(%s)", [name])


def test_partitions_are_made_for_a_few_weeks_only(database: psycopg.Connection):
    for weeks in (-1, 9):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="0 to 8 weeks"):
            database.execute("SELECT lockstep_make_partitions(%s)", [weeks])


def test_rows_written_past_the_partitions_are_kept_and_partitions_are_made_around_them(database: psycopg.Connection):
    """No worker for weeks: the default partition takes the rows, and making partitions later does not fail on them."""
    with database.transaction():
        database.execute("ALTER TABLE lockstep_change ALTER at SET DEFAULT clock_timestamp() + interval '28 days'")
        database.execute("INSERT INTO posts_post (title, body) VALUES ('a', '')")
        database.execute("ALTER TABLE lockstep_change ALTER at SET DEFAULT clock_timestamp()")
    assert database.execute("SELECT count(*) FROM lockstep_change_rest").fetchone() == (1,)
    with database.transaction(force_rollback=True):
        assert database.execute("SELECT lockstep_make_partitions(6)").fetchone() == (3,)  # 4 more weeks less that one
    assert titles() == [("created", None, "a")]


def test_uuids_made_by_the_database_are_version_7_and_ordered_by_time():
    with connection.cursor() as cursor:
        cursor.execute("SELECT lockstep_uuid7(), pg_sleep(0.002), lockstep_uuid7()")
        first, _, second = cursor.fetchone()
    assert [uuid.version for uuid in (first, second)] == [7, 7]
    assert [uuid.variant for uuid in (first, second)] == ["specified in RFC 4122"] * 2
    assert first < second


def test_updated_moves_with_every_write_also_of_raw_sql(database: psycopg.Connection):
    database.execute("INSERT INTO posts_post (title, body) VALUES ('a', '')")
    database.execute("UPDATE posts_post SET title = 'b'")
    assert database.execute("SELECT updated > created FROM posts_post").fetchone() == (True,)
