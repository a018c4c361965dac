"""The peer in PostgreSQL: Procrastinate, with the tasks of celery_app.py."""

import logging
import os

from procrastinate import App, PsycopgConnector

from bench.stamps import stamp

logging.getLogger("procrastinate").setLevel(logging.WARNING)  # it says that it sends each job

app = App(connector=PsycopgConnector(conninfo=os.environ.get("DATABASE_URL", "")))


@app.task(name="nothing")  # type: ignore[untyped-decorator,unused-ignore]  # not always installed
def nothing(number: int) -> None:
    """Does nothing."""


@app.task(name="note")  # type: ignore[untyped-decorator,unused-ignore]  # not always installed
async def note(title: str) -> None:
    """Says when it was called."""
    stamp(title)
