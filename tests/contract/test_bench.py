"""What the bench switches off to measure it, and what it leaves on."""

import psycopg

from bench.capacity import Cost, Costs, shards_worth
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


def test_the_model_of_capacity_adds_what_each_stage_costs():
    costs = Costs(*(Cost(database=float(2**stage), worker=float(stage), wal=10.0) for stage in range(5)))
    assert costs.cores(changes=1_000_000, deliveries=3) == (1 + 2 + 3 * (4 + 16), 3 * (2 + 4))
    assert costs.wal(changes=2, deliveries=3) == 2 * (10 + 10 + 3 * 20)
    assert costs.one_worker(cores=2) == 1e6 / ((2 + 3 + 4 + 8) / 2)  # the cores limit it
    assert costs.one_worker(cores=100) == 1e6 / (2 + 3)  # its one thread does


def test_one_shard_is_one_database_and_many_are_less_than_their_number():
    assert shards_worth(1) == 1
    assert 1 < shards_worth(2) < shards_worth(8) < 8
