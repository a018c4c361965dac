"""What a worker repairs by itself, and where it stops: lost, late and repeated responses, and incomplete lists."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from backend.posts.mirror import JSONPLACEHOLDER
from backend.posts.models import Post
from lockstep.delivery.database import open_pool
from lockstep.delivery.errors import DeliveryError
from lockstep.mirror.collections import Mirror
from lockstep.mirror.drift import drift_check
from lockstep.mirror.models import DriftCheck, MirrorState, RemoteObject, SentWrite
from lockstep.mirror.reconcile import Reconciler
from lockstep.mirror.state import State
from lockstep.mirror.subscriber import mirror_subscriber
from lockstep.mirror.tests.support import Provider, push, run_import, run_plan, run_sync
from tests.mirrored import differences, in_step
from tests.support import Cast

pytestmark = pytest.mark.slow  # whole exchanges with a provider
LONG_AGO = "2026-01-01T00:00Z"


@pytest.fixture
def imported(provider: Provider) -> Provider:
    assert run_import()[0] == 0
    return provider


@pytest.fixture
def kept(imported: Provider) -> Provider:
    """A provider that has been seen to store a write of ours, long ago."""
    push(Post.objects.create(title="shows that writes are kept", body="b"))
    everything_was_long_ago()
    return imported


def everything_was_long_ago() -> None:
    """Nothing was pushed lately, and what was verified is so still."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE lockstep_mirror_remoteobject SET acknowledged_at = acknowledged_at - interval '1 day',"
            " verified_at = verified_at - interval '1 day'"
        )


def look() -> None:
    """One look of a worker at the provider."""

    async def run() -> None:
        async with open_pool(size=4) as pool:
            work = Reconciler(JSONPLACEHOLDER).work(mirror_subscriber(JSONPLACEHOLDER))
            await work.run(pool)

    asyncio.run(run())


def check_drift(mirror: Mirror = JSONPLACEHOLDER) -> dict[str, int]:
    """What the periodic check counts as drift by others' hands."""

    async def run() -> None:
        async with open_pool(size=4) as pool:
            await drift_check(mirror, Reconciler(mirror))(pool)

    asyncio.run(run())
    return DriftCheck.objects.latest("at").counts


def is_due() -> bool:
    async def run() -> bool:
        async with open_pool(size=1) as pool, pool.connection() as connection:
            return await State(JSONPLACEHOLDER, connection).is_due()

    return asyncio.run(run())


def push_until_done(row: Post, *, deleted: bool = False) -> None:
    """As a worker's lane does it: again after a failure."""
    for _ in range(5):
        with suppress(DeliveryError):
            push(row, deleted=deleted)
            return
    push(row, deleted=deleted)


# What becomes of one write: what the stand-in does with it, and with reads meanwhile.
UNCLEAR = {
    "answered": {},
    "answer lost": {"cut": True, "after_effect": True},
    "answer without the object": {"body": '{"error": "busy"}'},
    "answer of nothing": {"empty": True},
    "request lost": {"cut": True},
    "late": {"held": True},
    "not done": {"ignored": True},
    "done twice": {"twice": True},
}
READS = {
    "reads": {},
    "empty replica": {"hides": "everything"},
    "reads without the object": {"body": '{"error": "busy"}'},
    "reads fail": {"status": 503},
}
WRITES = {"create": "POST", "update": "PUT", "delete": "DELETE"}
# Those that a part of the mechanism each is there for are enough for every run.
SHORT = [
    ("create", "late", "reads"),
    ("update", "late", "reads"),
    ("update", "not done", "reads fail"),
    ("delete", "request lost", "reads without the object"),
    ("delete", "not done", "empty replica"),
]
TABLE = [
    pytest.param(*row, marks=() if row in SHORT else pytest.mark.faults) for row in product(WRITES, UNCLEAR, READS)
]


@pytest.mark.parametrize(("write", "unclear", "reads"), TABLE)
def test_the_provider_ends_equal_to_us_whatever_happens_to_a_write(
    kept: Provider, write: str, unclear: str, reads: str
):
    """None of our copies is doubled, no copy of others is gone, and no difference counts as drift."""
    kept.http.post("/posts", json={"userId": 7, "title": "of others", "body": "b"})
    post = Post.objects.create(title="first", body="b")
    if write != "create":
        push(post)
        everything_was_long_ago()
        SentWrite.objects.all().delete()  # so long ago that its creation is not remembered
    if write == "update":
        Post.objects.filter(pk=post.pk).update(title="second")
    fault = UNCLEAR[unclear] | {"methods": [WRITES[write]], "times": 1}
    kept.faults(fault, READS[reads] | {"methods": ["GET"], "times": 3}) if READS[reads] else kept.faults(fault)
    with suppress(DeliveryError):
        push(post, deleted=write == "delete")
    kept.faults()
    if write == "delete":
        Post.objects.filter(pk=post.pk).update(deleted=LONG_AGO)
    elif write == "update":
        Post.objects.filter(pk=post.pk).update(title="third")
    push_until_done(post, deleted=write == "delete")
    kept.server.release()
    everything_was_long_ago()
    drift = check_drift()
    for _ in range(3):
        look()
    assert drift == {"delete": 1}  # the one of others
    left = differences(kept.server.url)
    assert left["missing there"] == Counter()
    assert list(left["too much there"]) == [("post", 7, "of others", "b")]
    assert sum(left["too much there"].values()) == 1


def test_a_write_without_a_response_is_reconciled_later(kept: Provider):
    post = Post.objects.create(title="first", body="b")
    push(post)
    look()
    assert not is_due()
    kept.faults(methods=["PUT"], held=True, times=1)
    Post.objects.filter(pk=post.pk).update(title="second")
    with suppress(DeliveryError):
        push(post)
    kept.faults()
    push(post)
    assert not is_due()
    for seconds in (11, 61, 601, 3_601):
        SentWrite.objects.filter(answered=False).update(at=seconds_ago(seconds))
        MirrorState.objects.update(looked_at=seconds_ago(2))
        assert is_due(), seconds
        look()
        assert not is_due(), seconds


def seconds_ago(seconds: int) -> object:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now() - make_interval(secs => %s)", [seconds])
        return cursor.fetchone()[0]


def test_a_deletion_is_kept_while_the_copy_cannot_be_read(kept: Provider):
    """FAULTS D5: a DELETE without an answer, and a GET that says 200 {"error": …}."""
    post = Post.objects.create(title="ours", body="b")
    push(post)
    kept.faults({"methods": ["DELETE"], "cut": True, "times": 1})
    with pytest.raises(DeliveryError):
        push(post, deleted=True)
    kept.faults({"methods": ["GET"], "body": '{"error": "busy"}', "times": 1})
    with pytest.raises(DeliveryError):
        push(post, deleted=True)
    assert RemoteObject.objects.filter(object_id=post.pk).exists()
    push(post, deleted=True)
    assert "ours" not in {row["title"] for row in kept.posts().values()}


def test_a_copy_whose_id_cannot_be_used_is_not_created_again(kept: Provider):
    post = Post.objects.create(title="ours", body="b")
    kept.http.post("/posts", json={"id": "abc", "userId": post.user_id, "title": "ours", "body": "b"})
    kept.faults(methods=["POST"], times=1, body='{"id": "abc", "userId": 99999942, "title": "ours", "body": "b"}')
    with pytest.raises(DeliveryError):
        push(post)
    kept.faults()
    kept.server.forget_requests()
    with pytest.raises(DeliveryError, match="an id that cannot be used"):
        push(post)
    assert kept.writes() == {}


def test_an_object_whose_id_cannot_be_used_does_not_hide_the_rest(kept: Provider):
    kept.http.post("/posts", json={"id": "9" * 18, "userId": 1, "title": "far", "body": "b"})
    code, output = run_plan()
    assert code == 2
    assert "posts: 1 object with an id that cannot be used, left alone." in output
    assert "0 to create, 0 to update, 0 to delete" in output
    assert run_sync()[0] == 0
    assert "far" in {row["title"] for row in kept.posts().values()}


@dataclass
class Look:
    """What a worker did in a look."""

    writes: dict[str, int]
    state: MirrorState


def looks(provider: Provider) -> Look:
    provider.server.forget_requests()
    look()
    return Look(provider.writes(), MirrorState.objects.get())


def later() -> None:
    """The second look may be made."""
    MirrorState.objects.exclude(shrunk_at=None).update(shrunk_at=LONG_AGO)


@pytest.mark.parametrize("hides", ["everything", pytest.param("page", marks=pytest.mark.faults)])
def test_a_provider_that_suddenly_shows_less_is_read_again_before_anything_is_done(kept: Provider, hides: str):
    """FAULTS D2: an empty replica for some seconds."""
    kept.faults(methods=["GET"], hides=hides)
    first = looks(kept)
    assert first.writes == {}
    assert first.state.shrunk_at and first.state.look_at
    assert looks(kept).writes == {}  # too soon
    kept.faults()
    later()
    second = looks(kept)
    assert second.writes == {}
    assert (second.state.shrunk_at, second.state.stopped_at) == (None, None)
    assert in_step(kept.server.url)


def test_copies_missing_at_the_second_read_are_created_again(kept: Provider):
    gone = list(kept.posts())[:3]
    for number in gone:
        kept.http.delete(f"/posts/{number}")
    assert looks(kept).writes == {}
    later()
    assert looks(kept).writes["POST"] == 3 + 2 * 3
    for _ in range(2):
        look()
    assert in_step(kept.server.url)


@pytest.mark.parametrize(
    ("setting", "kind", "sentence"),
    [
        ("POSTS_PROVIDER_MAX_CREATES", "create", "3 to create, at most 2"),
        pytest.param("POSTS_PROVIDER_MAX_UPDATES", "update", "3 to update, at most 2", marks=pytest.mark.faults),
        pytest.param("POSTS_PROVIDER_MAX_DELETES", "delete", "3 to delete, at most 2", marks=pytest.mark.faults),
    ],
)
def test_beyond_the_ceiling_a_worker_stops_for_a_person(
    kept: Provider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cast: Cast,
    setting: str, kind: str, sentence: str,
):  # fmt: skip
    monkeypatch.setattr(settings, setting, 2)
    differ(kept, kind)
    later_if_shrunk = looks(kept)
    if later_if_shrunk.state.shrunk_at:
        later()
    with caplog.at_level(logging.ERROR):
        stopped = looks(kept)
    assert stopped.writes == {}
    assert stopped.state.stopped_at
    if not later_if_shrunk.state.stopped_at:
        assert sentence in caplog.text
    assert looks(kept).writes == {}
    code, output = run_plan()
    assert code == 2
    assert f"A worker has stopped mending: {sentence} without a person" in output
    assert sentence in cast.outsider.get("/readyz").json()["mirrors"]
    assert run_sync()[0] == 0
    assert MirrorState.objects.get().stopped_at is None
    assert in_step(kept.server.url)
    assert cast.outsider.get("/readyz").json()["mirrors"] == "ok"


def differ(provider: Provider, kind: str) -> None:
    """Three objects differ by our own writes, as far as can be seen."""
    posts = [Post.objects.create(title=f"ours {n}", body="b") for n in range(3)]
    for post in posts:
        push(post)
    everything_was_long_ago()
    if kind == "create":
        for post in posts:
            provider.http.delete(f"/posts/{RemoteObject.objects.get(object_id=post.pk).remote_id}")
    elif kind == "update":
        for post in posts:
            SentWrite.objects.create(collection="jsonplaceholder/posts", object_id=post.pk, kind="update")
            remote_id = RemoteObject.objects.get(object_id=post.pk).remote_id
            provider.http.patch(f"/posts/{remote_id}", json={"body": "late"})
    else:
        for post in posts:
            body = {"userId": post.user_id or 99999942, "title": post.title, "body": post.body}
            provider.http.post("/posts", json=body | {"userId": 99999942})


def test_a_stop_ends_when_the_provider_is_as_it_was(kept: Provider, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settings, "POSTS_PROVIDER_MAX_CREATES", 2)
    kept.faults(methods=["GET"], hides="everything")
    looks(kept)
    later()
    assert looks(kept).state.stopped_at
    kept.faults()
    assert looks(kept).state.stopped_at is None
    assert in_step(kept.server.url)


def test_a_stop_is_looked_at_again_without_a_push(kept: Provider, monkeypatch: pytest.MonkeyPatch):
    """It remained until the next push: the hourly check found nothing to repair, and requested no read."""
    monkeypatch.setattr(settings, "POSTS_PROVIDER_MAX_CREATES", 2)
    kept.faults(methods=["GET"], hides="everything")
    looks(kept)
    later()
    assert looks(kept).state.look_at
    MirrorState.objects.update(look_at=LONG_AGO)
    assert looks(kept).state.look_at > timezone.now()  # still nothing is there
    kept.faults()
    code, output = run_plan()
    assert code == 0
    assert "That is over: its next look finds nothing to mend." in output
    assert "without --plan" not in output
    requested: list[str] = []
    monkeypatch.setattr("lockstep.mirror.reconcile.request_periodic", noting(requested))
    check_drift()
    assert requested == ["jsonplaceholder-reconcile"]


def test_plan_does_not_promise_repairs_after_a_stop(kept: Provider):
    kept.faults(methods=["GET"], hides="everything")
    look()
    assert "A worker mends" in run_plan()[1]
    MirrorState.objects.update(stopped_at=LONG_AGO, reason="too much")
    output = run_plan()[1]
    assert "A worker has stopped mending: too much." in output
    assert "A worker mends" not in output


def test_a_provider_that_cannot_be_read_is_read_less_and_less_often(
    kept: Provider, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """It was read again after 0.3 s, each time with a warning, for as long as its answers could not be read."""
    kept.faults(methods=["GET"], garbage=True)
    requested: list[str] = []
    monkeypatch.setattr("lockstep.mirror.reconcile.request_periodic", noting(requested))
    reconciler = Reconciler(JSONPLACEHOLDER)

    async def run() -> None:
        async with open_pool(size=4) as pool:
            for _ in range(3):
                await reconciler.work(mirror_subscriber(JSONPLACEHOLDER)).run(pool)

    before = timezone.now()
    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert requested == []
    assert [record.args[1] for record in caplog.records if "is read again in" in record.msg] == [10, 20, 40]
    assert MirrorState.objects.get().look_at > before + timedelta(seconds=9)


def noting(requested: list[str]) -> Callable[..., Awaitable[None]]:
    async def note(pool: object, name: str, delay: float) -> None:
        requested.append(name)

    return note


def test_a_provider_that_gives_other_ids_gets_nothing_twice(kept: Provider):
    kept.server.renumber()
    found = looks(kept)
    assert found.writes == {}
    assert in_step(kept.server.url)
    assert run_plan()[0] == 0
    Post.objects.filter(number=1).update(title="edited")
    push(Post.objects.get(number=1))
    assert kept.posts()[1001]["title"] == "edited"


def test_the_command_adopts_copies_under_new_ids_too(kept: Provider):
    kept.server.renumber()
    kept.server.forget_requests()
    assert run_sync()[0] == 0
    assert kept.writes() == {}
    assert run_plan()[0] == 0


def test_a_planned_deletion_is_skipped_if_the_copy_has_changed(kept: Provider):
    kept.http.post("/posts", json={"userId": 1, "title": "of others", "body": "b"})
    number = max(kept.posts())
    kept.faults(methods=["GET"], path=f"/posts/{number}", body=f'{{"id": {number}, "title": "by now another one"}}')
    code, output = run_sync()
    assert code == 1
    assert "it has changed meanwhile" in output
    assert number in kept.posts()


def test_a_provider_that_was_never_imported_is_logged_with_the_command_to_run(
    provider: Provider, caplog: pytest.LogCaptureFixture
):
    check_drift(replace(JSONPLACEHOLDER, import_command="manage.py pull"))
    assert "run manage.py pull" in caplog.text
    assert "to delete" not in caplog.text


def test_an_import_does_not_take_in_a_late_copy_of_ours(kept: Provider):
    post = Post.objects.create(title="ours", body="b")
    kept.faults(methods=["POST"], held=True, times=1)
    with pytest.raises(DeliveryError):
        push(post)
    kept.faults()
    push(post)
    kept.server.release()
    assert run_import()[0] == 0
    assert Post.objects.filter(title="ours").count() == 1
    look()
    assert in_step(kept.server.url)
