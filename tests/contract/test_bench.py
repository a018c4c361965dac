"""What the bench switches off to measure it, and what it leaves on."""

import psycopg

from bench.tables import Posts, count, empty, silenced, without_capture


def test_posts_written_without_capture_leave_no_change(database: psycopg.Connection):
    with without_capture(database, "posts_post"):
        empty(database)  # which switches all triggers off and on
        Posts(1, 3).insert(database)
    assert (count(database, "posts_post"), count(database, "lockstep_change")) == (3, 0)
    Posts(4, 4).insert(database)
    assert count(database, "lockstep_change") == 1


def test_triggers_of_a_silenced_table_are_enabled_again(database: psycopg.Connection):
    enabled = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'posts_post'::regclass AND tgenabled = 'A'"
    before = database.execute(enabled).fetchall()
    with silenced(database, "posts_post"):
        assert database.execute(enabled).fetchall() == []
    assert sorted(database.execute(enabled).fetchall()) == sorted(before)
