import psycopg
import pytest

from conftest import database_url
from lockstep.delivery.tests.support import Steps


@pytest.fixture
def steps(database: psycopg.Connection) -> Steps:
    """The worker's statements, one by one; the project's own subscriptions are out of the way."""
    database.execute("DELETE FROM delivery_subscription")
    return Steps(database_url())
