"""A role that may only read and write rows does not write past the log and the ledger, whatever its session brings.

The oracle is SQL of its own: the log of before is as it was; the changes of each post and product lead, one to the
next, to the row that is there; the stock is what the ledger sums to, and a product that is not there has none.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg import sql

from conftest import database_url
from lockstep.changes.protection import secure
from tests.security.rights import CAPTURED, CAPTURED_FROM_OTHERS, REFUSED, Attempt
from tests.support import superuser_url

ROLE, SCRATCH = "lockstep_application", "scratch"
LOG = "SELECT md5(string_agg(c::text, ',' ORDER BY seq)), count(*) FROM lockstep_change c WHERE seq <= %s"
ALL = """
    SELECT (SELECT md5(string_agg(c::text, ',' ORDER BY seq)) FROM lockstep_change c),
           (SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM posts_post p),
           (SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM shop_product p),
           (SELECT md5(string_agg(m::text, ',' ORDER BY id)) FROM shop_movement m),
           (SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM shop_order o),
           (SELECT last_value > 1 FROM lockstep_change_seq)
"""
# Changes whose `before` is not what the change before them left, and rows that are not what the last change left.
BROKEN_CHAINS = """
    WITH step AS (
        SELECT model, object_id, seq, before, after,
               lag(after) OVER object AS left_by_the_last,
               seq = max(seq) OVER (PARTITION BY model, object_id) AS is_last
        FROM lockstep_change WINDOW object AS (PARTITION BY model, object_id ORDER BY seq)
    ), there AS (
        SELECT 'posts.post' AS model, id::text AS object_id,
               jsonb_build_object('number', number, 'user_id', user_id, 'title', title, 'body', body) AS document
        FROM posts_post WHERE deleted IS NULL
        UNION ALL
        SELECT 'shop.product', id::text, jsonb_build_object('number', number, 'owner_id', owner_id, 'name', name,
               'description', description, 'price', price::text, 'stock', stock, 'state', state, 'tags', tags)
        FROM shop_product WHERE deleted IS NULL
    )
    SELECT 'chain', model, object_id FROM step WHERE before IS DISTINCT FROM left_by_the_last OR before = after
    UNION ALL
    SELECT 'row', model, object_id
    FROM (SELECT * FROM step WHERE is_last AND model IN ('posts.post', 'shop.product')) AS last
    FULL JOIN there USING (model, object_id) WHERE last.after IS DISTINCT FROM there.document
"""
UNBALANCED = """
    SELECT coalesce(p.id, m.product_id), p.stock, m.sum
    FROM shop_product p FULL JOIN (SELECT product_id, sum(delta) FROM shop_movement GROUP BY 1) AS m
         ON m.product_id = p.id
    WHERE coalesce(p.stock, 0) <> coalesce(m.sum, 0)
"""


@dataclass(frozen=True)
class Attacker:
    """A role that tries."""

    name: str
    role: str
    url: str

    def tries(self, attempt: Attempt, names: Mapping[str, object]) -> None:
        """Each statement by itself, in one session with a schema of its own. Raises what the database says."""
        with psycopg.connect(self.url, autocommit=True) as session:
            session.execute(f"DROP SCHEMA IF EXISTS {SCRATCH} CASCADE")
            session.execute(f"CREATE SCHEMA {SCRATCH}")
            for statement in attempt.statements:
                filled = statement.format(**names).encode()
                if attempt.data and statement.startswith("COPY"):
                    with session.cursor().copy(filled) as copy:
                        copy.write(attempt.data.format(**names))
                else:
                    session.execute(filled)


@pytest.fixture(scope="module")
def roles(django_db_setup: None) -> Iterator[dict[str, str]]:
    """The address of the tables' owner, and of the application role."""
    if not (superuser := superuser_url(database_url())):
        pytest.skip("roles are made by a superuser")
    password = secrets.token_urlsafe(8)
    with psycopg.connect(superuser, autocommit=True) as made:
        if not made.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
            made.execute(f"CREATE ROLE {ROLE} LOGIN")
        made.execute(sql.SQL(f"ALTER ROLE {ROLE} PASSWORD {{}}").format(password))
        yield {"owner": database_url(), "application": with_user(ROLE, password)}


def with_user(user: str, password: str) -> str:
    return psycopg.conninfo.make_conninfo(database_url(), user=user, password=password)


@pytest.fixture(params=["application", "owner"])
def attacker(request: pytest.FixtureRequest, roles: dict[str, str], transactional_db: None) -> Iterator[Attacker]:
    """Each with a schema of its own; the application role with the rights of web and worker."""
    settings.LOCKSTEP["APPLICATION_ROLE"] = ROLE
    secure()
    settings.LOCKSTEP["APPLICATION_ROLE"] = ""
    role = ROLE if request.param == "application" else connection.settings_dict["USER"]
    with psycopg.connect(superuser_url(database_url()), autocommit=True) as superuser:
        superuser.execute(f"GRANT CREATE ON DATABASE {connection.settings_dict['NAME']} TO {ROLE}")
        yield Attacker(request.param, role, roles[request.param])
        superuser.execute(f"DROP SCHEMA IF EXISTS {SCRATCH} CASCADE")
        superuser.execute(f"DROP OWNED BY {ROLE}")


def rows(owner: psycopg.Connection) -> dict[str, object]:
    """Something to write, with a history each."""

    def made(statement: str, *values: object) -> object:
        row = owner.execute(statement, values).fetchone()
        assert row
        return row[0]

    user = made(
        "INSERT INTO accounts_user"
        " (username, password, is_superuser, first_name, last_name, email, is_staff, is_active, date_joined)"
        " VALUES (gen_random_uuid(), '!', false, '', '', '', false, true, now()) RETURNING id"
    )
    post = made("INSERT INTO posts_post (title, body) VALUES ('title', 'body') RETURNING id")
    product = made("INSERT INTO shop_product (owner_id, name, price, stock) VALUES (%s, 'a', 1, 10) RETURNING id", user)
    order = made("INSERT INTO shop_order (buyer_id, lines, total) VALUES (%s, '[]', 1) RETURNING id", user)
    function = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname LIKE %s"
    return {
        **{"user": user, "post": post, "product": product, "order": order, "scratch": SCRATCH},
        "owner": made("SELECT current_user"),
        "partition": made("SELECT tableoid::regclass FROM lockstep_change LIMIT 1"),
        "capture": made(function, "posts_post", "lockstep_capture_insert%"),
        "open_ledger": made(function, "shop_product", "pgtrigger_open_ledger%"),
    }


def outcomes(attempts: Sequence[Attempt], judge: Callable[[Attempt], str]) -> dict[str, str]:
    """What is wrong after each attempt, of those after which something is."""
    found = {}
    for attempt in attempts:
        if fault := judge(attempt):
            found[attempt.name] = fault
    return found


# All of it takes a quarter of a minute: every run has a part, and each attempt that once went through has a test beside
# the code that refuses it.
PARTS = [pytest.param(5, marks=pytest.mark.slow, id="part"), pytest.param(1, marks=pytest.mark.faults, id="all")]


@pytest.mark.parametrize("step", PARTS)
@pytest.mark.parametrize("attacker", ["application"], indirect=True)
def test_application_role_is_refused(attacker: Attacker, database: psycopg.Connection, step: int):
    names = rows(database)

    def judge(attempt: Attempt) -> str:
        before = database.execute(ALL).fetchone()
        try:
            attacker.tries(attempt, names)
        except psycopg.Error:
            return "" if database.execute(ALL).fetchone() == before else "refused, and something is changed"
        return "not refused"

    assert outcomes(REFUSED[::step], judge) == {}


@pytest.mark.parametrize("step", PARTS)
def test_writes_are_captured_with_any_session_settings(attacker: Attacker, database: psycopg.Connection, step: int):
    attempts = CAPTURED if attacker.name == "owner" else [*CAPTURED, *CAPTURED_FROM_OTHERS]

    def judge(attempt: Attempt) -> str:
        names = rows(database)
        [last] = database.execute("SELECT max(seq) FROM lockstep_change").fetchone() or [0]
        log = database.execute(LOG, [last]).fetchone()
        try:
            attacker.tries(attempt, names)
        except psycopg.Error as error:
            return str(error)
        if database.execute(LOG, [last]).fetchone() != log:
            return "the log of before is another one"
        if database.execute("SELECT count(*) FROM lockstep_change WHERE seq > %s", [last]).fetchone() == (0,):
            return "nothing captured"
        return str(database.execute(BROKEN_CHAINS).fetchall() + database.execute(UNBALANCED).fetchall() or "")

    assert outcomes(attempts[::step], judge) == {}
