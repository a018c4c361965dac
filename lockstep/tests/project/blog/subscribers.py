"""Subscribers of each kind. What they got is in `received`, by their names."""

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager, contextmanager

from project.blog.models import Tally

from lockstep import Change, Rejected, RetryLater, resource, subscriber

received: dict[str, list[Change]] = defaultdict(list)
threads: list[str] = []
given_up: list[tuple[str, str]] = []
opened: list[str] = []


@asynccontextmanager
async def open_client():
    opened.append("client")
    yield "a client"
    opened.append("closed")


@contextmanager
def open_file():
    opened.append("file")
    yield "a file"


@subscriber("blog.article", kind="state", concurrency=4, deadline=20)
async def push(change: Change, client: str = resource(open_client)):
    assert client == "a client"
    received["push"].append(change)


@subscriber("blog.*")
def notify(change: Change, file: str = resource(open_file)):
    import threading

    assert file == "a file"
    threads.append(threading.current_thread().name)
    received["notify"].append(change)


@subscriber("blog.article", transactional=True, batch=100)
def tally(changes: list[Change]):
    Tally.objects.bulk_create(Tally(article=change.object_id, kind=change.kind) for change in changes)
    if any((change.after or {}).get("title") == "not to be counted" for change in changes):
        raise ValueError("after it was written")


@subscriber(
    "blog.note", name="notes", retry=[], on_dead_letter=lambda change, cause: given_up.append((change.object_id, cause))
)
async def refuse(change: Change):
    received["notes"].append(change)
    match (change.after or {}).get("text"):
        case "never":
            raise Rejected("422")
        case "slow":
            await asyncio.sleep(2)
        case "later":
            raise RetryLater("503", after=30)


@subscriber("blog.article", only_changed=["title"], skip_origin="crm")
async def titles(change: Change):
    received["titles"].append(change)
