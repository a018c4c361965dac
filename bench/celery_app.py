"""The peer over Redis: Celery."""

import os

from celery import Celery

from bench.stamps import stamp

app = Celery("bench", broker=os.environ.get("BENCH_REDIS", "redis://127.0.0.1:6379/0"))
app.conf.task_ignore_result = True


@app.task  # type: ignore[untyped-decorator,unused-ignore]  # Celery has no types
def nothing(number: int) -> None:
    """Does nothing."""


@app.task  # type: ignore[untyped-decorator,unused-ignore]  # Celery has no types
def note(title: str) -> None:
    """Says when it was called."""
    stamp(title)
