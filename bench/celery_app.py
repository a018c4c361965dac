"""The peer of the row `delivery`: a task that does nothing, in Celery over Redis."""

import os

from celery import Celery

app = Celery("bench", broker=os.environ.get("BENCH_REDIS", "redis://127.0.0.1:6379/0"))
app.conf.task_ignore_result = True


@app.task  # type: ignore[untyped-decorator,unused-ignore]  # Celery has no types
def nothing(number: int) -> None:
    """Does nothing."""
