"""Prepared statements, and bundled queries."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import DataError, NotSupportedError, connection, transaction

from backend.accounts import authentication, sessions
from backend.accounts.models import Session
from lockstep.rest.fastpath import BundledQuery, fetch_all, fetch_one, fetch_tuple
from lockstep.sql import Statement
from tests.support import Cast

WHO = BundledQuery(Statement("SELECT {user} AS who, %(what)s::text AS what WHERE %(what)s <> ''"), {"what": "this"})


@pytest.mark.django_db
def test_each_fetch_function_returns_its_rows():
    statement = "SELECT number FROM generate_series(1, %(most)s) AS number"
    assert fetch_all(statement, {"most": 2}) == [{"number": 1}, {"number": 2}]
    assert fetch_one(statement, {"most": 3}) == {"number": 1}
    assert fetch_tuple(statement, {"most": 1}) == (1,)
    none = {"most": 0}
    assert (fetch_one(statement, none), fetch_tuple(statement, none), fetch_all(statement, none)) == (None, None, [])


@pytest.mark.django_db
def test_a_failed_statement_can_be_repeated():
    statement = "SELECT 1 / %(by)s AS one"
    for _ in range(3):
        with pytest.raises(DataError, match="division by zero"), transaction.atomic():
            fetch_one(statement, {"by": 0})
        assert fetch_one(statement, {"by": 1}) == {"one": 1}


@pytest.mark.django_db(transaction=True)
def test_a_statement_is_prepared_on_the_current_connection():
    """Cursors are kept; a connection that was closed has left none behind."""
    statement = "SELECT pg_backend_pid() AS pid"
    first = fetch_one(statement)
    connection.close()
    assert fetch_one(statement) != first


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["opaque", "signed"])
def test_a_bundled_query_is_for_the_requests_user(cast: Cast, kind: str):
    user = cast.owner.user
    secret = sessions.open_opaque(user) if kind == "opaque" else sessions.open_pair(user).access
    caller = authentication.find(secret, WHO)
    assert caller is not None
    assert (caller.session.user, caller.bundled_row) == (user, (user.pk, "this"))
    nothing = authentication.find(secret, BundledQuery(WHO.statement, {"what": ""}))
    assert nothing is not None
    assert (nothing.session.user, nothing.bundled_row) == (user, None)
    Session.objects.filter(user=user).revoke()
    assert authentication.find(secret, WHO) is None


@pytest.mark.django_db
def test_columns_of_the_requests_user_are_loaded_when_needed(cast: Cast, django_assert_num_queries):
    """Columns that were read with the session need no query; the others need one at the first access."""
    caller = authentication.find(sessions.open_opaque(cast.owner.user))
    assert caller is not None
    with django_assert_num_queries(0):
        assert caller.session.user.username == cast.owner.user.username
        assert caller.session.scopes == {"read", "write"}
        assert caller.session.user_id == cast.owner.user.pk
    assert caller.session.expires > caller.session.created
    caller.session.user.first_name = "Ada"
    caller.session.user.save(update_fields=["first_name"])
    cast.owner.user.refresh_from_db()
    assert cast.owner.user.first_name == "Ada"


@pytest.fixture
def alter(database: psycopg.Connection) -> Iterator[Callable[[], None]]:
    """Gives a column of the users another type, and back."""
    yield lambda: database.execute("ALTER TABLE accounts_user ALTER COLUMN first_name TYPE text") and None
    connection.close()
    database.execute("ALTER TABLE accounts_user ALTER COLUMN first_name TYPE varchar(150)")


STATEMENT = "SELECT first_name FROM accounts_user WHERE username = %(name)s"


def test_a_statement_with_a_stale_plan_is_repeated(cast: Cast, alter: Callable[[], None], database: psycopg.Connection):
    name = {"name": "owner"}
    for _ in range(6):  # prepared, after some
        assert fetch_tuple(STATEMENT, name) == ("",)
    alter()
    assert fetch_tuple(STATEMENT, name) == ("",)
    for _ in range(6):
        fetch_tuple(STATEMENT, name)
    database.execute("ALTER TABLE accounts_user ALTER COLUMN first_name TYPE varchar(150)")
    with pytest.raises(NotSupportedError), transaction.atomic():  # which cannot go on in another session
        fetch_tuple(STATEMENT, name)


def test_requests_go_on_after_a_column_was_altered(cast: Cast, alter: Callable[[], None]):
    for _ in range(6):
        assert cast.owner.get("/api/v1/users/me/").status_code == 200
    alter()
    for _ in range(3):
        assert cast.owner.get("/api/v1/users/me/").status_code == 200
