"""What is noted of an endpoint beside a delivery, where our database refuses it."""

import asyncio
import logging
from unittest.mock import MagicMock
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from lockstep.webhooks.deliver import EndpointHandler


@pytest.mark.parametrize(
    ("error", "has_traceback"),
    [
        (errors.ReadOnlySqlTransaction("cannot execute UPDATE in a read-only transaction"), False),
        (psycopg.OperationalError("the connection is lost\nserver closed it"), False),
        (errors.UndefinedColumn("column x does not exist"), True),
    ],
)
def test_an_outage_while_noting_is_one_line_and_a_bug_has_its_traceback(
    error: Exception, has_traceback: bool, caplog: pytest.LogCaptureFixture
):
    """A read-only database was sixty lines for each answer of each receiver."""

    async def note() -> None:
        raise error

    handler = EndpointHandler(UUID(int=1), MagicMock(), MagicMock())
    with caplog.at_level(logging.ERROR):
        asyncio.run(handler._noting(note()))
    [record] = caplog.records
    assert record.getMessage().endswith(f"could not be recorded: {str(error).splitlines()[0]}")
    assert bool(record.exc_info) == has_traceback
