"""What an older version left in the database is there after an upgrade, and goes on working."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from conftest import database_url
from tests.acceptance.running import ROOT

pytestmark = pytest.mark.slow

OPENS = "from lockstep.accounts.sessions import find_session; print(find_session('held').user.username)"


@pytest.fixture
def empty(transactional_db: None) -> Iterator[str]:
    """The address of an empty database."""
    name = f"lockstep_upgrade_{uuid4().hex}"
    with psycopg.connect(database_url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def manage(url: str, *words: str) -> str:
    environment = {**os.environ, "DATABASE_URL": url}
    command = [sys.executable, "manage.py", *words]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.faults
def test_a_token_from_before_there_were_sessions_still_opens(empty: str):
    manage(empty, "migrate", "delivery")  # what `migrate` itself looks at afterwards
    manage(empty, "migrate", "accounts", "0001_initial")
    with psycopg.connect(empty) as connection:
        connection.execute(
            "INSERT INTO accounts_user"
            " (username, password, first_name, last_name, email, is_staff, is_superuser, is_active, date_joined)"
            " VALUES ('somebody', '!', '', '', '', false, false, true, now())"
        )
        for secret in ("held", "another"):
            connection.execute(
                "INSERT INTO accounts_token (digest, user_id, expires)"
                " SELECT %s, id, now() + interval '1 day' FROM accounts_user",
                [hashlib.sha256(secret.encode()).digest()],
            )
    manage(empty, "migrate")
    assert manage(empty, "shell", "--verbosity", "0", "-c", OPENS).strip() == "somebody"


@pytest.mark.faults
def test_products_from_before_they_held_their_tags_show_them_and_nothing_is_told_of_it(empty: str):
    manage(empty, "migrate", "delivery")
    manage(empty, "migrate", "shop", "0005_all_letters")
    told = "SELECT (SELECT version FROM shop_product), (SELECT count(*) FROM changes_change)"
    with psycopg.connect(empty) as connection:
        connection.execute(
            "WITH owner AS ("
            " INSERT INTO accounts_user"
            " (username, password, first_name, last_name, email, is_staff, is_superuser, is_active, date_joined)"
            " VALUES ('somebody', '!', '', '', '', false, false, true, now()) RETURNING id)"
            " INSERT INTO shop_product (owner_id, name, price) SELECT id, 'Bicycle', 9.90 FROM owner"
        )
        connection.execute("INSERT INTO shop_tag (name) VALUES ('Round'), ('blue'), ('nobody''s')")
        connection.execute(
            "INSERT INTO shop_producttag (product_id, tag_id)"
            " SELECT p.id, t.id FROM shop_product p, shop_tag t WHERE t.name <> 'nobody''s'"
        )
        before = connection.execute(told).fetchone()
    manage(empty, "migrate")
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT tags FROM shop_product").fetchone() == (["blue", "Round"],)
        assert connection.execute(told).fetchone() == before


def test_what_hung_from_deleted_rows_goes_and_a_price_that_is_no_number_is_mended(empty: str):
    manage(empty, "migrate", "delivery")
    manage(empty, "migrate", "movies", "0002_count_truncate")
    manage(empty, "migrate", "shop", "0007_orders_need_one_index_of_buyers")
    with psycopg.connect(empty) as connection:
        connection.execute(
            "INSERT INTO accounts_user"
            " (username, password, first_name, last_name, email, is_staff, is_superuser, is_active, date_joined,"
            " deleted)"
            " VALUES ('here', '!', '', '', '', false, false, true, now(), NULL),"
            " ('gone', '!', '', '', '', false, false, true, now(), now())"
        )
        connection.execute(
            "INSERT INTO shop_product (owner_id, name, price, deleted)"
            " SELECT id, username || ' ' || price, price::numeric, CASE WHEN price = '2' THEN now() END"
            " FROM accounts_user, unnest(ARRAY['1', '2', 'NaN']) AS price"
        )
        connection.execute("INSERT INTO shop_tag (name) VALUES ('red')")
        connection.execute(
            "INSERT INTO shop_producttag (product_id, tag_id) SELECT p.id, t.id FROM shop_product p, shop_tag t"
        )
        connection.execute("INSERT INTO movies_movie (remote_id, title, rating) VALUES (lockstep_uuid7(), 'M', 'NaN')")
        connection.execute(
            "INSERT INTO movies_rating (user_id, movie_id, rating_type)"
            " SELECT u.id, m.id, 'UPVOTE' FROM accounts_user u, movies_movie m"
        )
    manage(empty, "migrate")
    with psycopg.connect(empty) as connection:
        alive = "SELECT name, price::text, state FROM shop_product WHERE deleted IS NULL ORDER BY name"
        assert connection.execute(alive).fetchall() == [("here 1", "1.00", "ON_SALE"), ("here NaN", "0.00", "OFF_SALE")]
        links = (
            "SELECT p.name FROM shop_producttag l JOIN shop_product p ON p.id = l.product_id WHERE l.deleted IS NULL"
        )
        assert {name for (name,) in connection.execute(links)} == {"here 1", "here NaN"}
        assert connection.execute("SELECT upvotes FROM movies_tally").fetchall() == [(1,)]
        assert connection.execute("SELECT rating FROM movies_movie").fetchall() == [(None,)]
