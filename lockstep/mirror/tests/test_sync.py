"""Plan and apply: the plan shows exactly what differs and changes nothing; apply repairs exactly that."""

from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings

from backend.posts.mirror import JSONPLACEHOLDER
from backend.posts.models import Comment, Post
from devstack.sandbox.jsonplaceholder import StandIn
from lockstep.delivery import operations, periodic
from lockstep.delivery.audit import Finding
from lockstep.mirror.drift import mirror_check
from lockstep.mirror.models import DriftCheck, RemoteObject
from lockstep.mirror.subscriber import mirror_subscriber
from lockstep.mirror.tests.support import Provider, ours, push, run_command, run_import, run_plan, run_sync
from tests.support import BackgroundWorker, drained, eventually

pytestmark = pytest.mark.slow  # whole exchanges with a provider, many with a worker
LATER = "2026-01-01T00:00Z"


@pytest.fixture
def imported(provider: Provider) -> Provider:
    assert run_import()[0] == 0
    return provider


def by_content(rows: dict[int, dict]) -> list[tuple]:
    """Rows without the ids that each side gives them."""
    return sorted(
        tuple(value for name, value in sorted(row.items()) if name not in ("id", "postId")) for row in rows.values()
    )


def equal(provider: Provider) -> bool:
    posts, comments = ours()
    return by_content(posts) == by_content(provider.posts()) and by_content(comments) == by_content(provider.comments())


def test_no_drift_exits_0(imported: Provider):
    assert run_plan() == (0, "No drift: 30 objects here and at the provider are equal.\n")


@pytest.mark.parametrize("run", [run_plan, run_sync])
def test_a_mirror_that_is_paused_is_mentioned(imported: Provider, run):
    name = mirror_subscriber(JSONPLACEHOLDER).name
    operations.pause(name, reason="maintenance")
    code, output = run()
    assert code == 0
    assert output.endswith(
        "The mirror is paused (maintenance): changes are not pushed meanwhile. "
        f"`manage.py lockstep status` says more; `manage.py lockstep resume {name}` ends a pause.\n"
    )


def test_drift_made_by_hand_is_shown_exactly_and_nothing_is_changed(imported: Provider):
    http = imported.http
    title = imported.posts()[1]["title"]
    http.patch("/posts/1", json={"title": "changed by hand"})
    http.delete("/comments/3")
    http.post("/posts", json={"userId": 1, "title": "added by hand", "body": "b"})
    imported.server.forget_requests()
    code, output = run_plan()
    assert code == 2
    assert imported.writes() == {}
    lines = [line for line in output.splitlines() if line]
    assert "+ create comments 3 (our 3)" in lines
    assert "~ update posts 1 (our 1)" in lines
    assert f"    title: 'changed by hand' → '{title}'" in lines
    assert "- delete posts 11" in lines
    assert lines[-1] == "Plan: 1 to create, 1 to update, 1 to delete, 0 not kept by the provider."
    assert sum(line[0] in "+~-?" for line in lines) == 3


def test_a_long_plan_is_truncated(imported: Provider):
    Post.objects.bulk_create(Post(title=f"new {n}", body="b") for n in range(60))
    code, output = run_plan()
    assert code == 2, output
    assert "… and more to create in posts; --full shows all" in output
    assert output.count("+ create posts") == 50
    assert "Plan: 60 to create" in output


def test_an_audit_of_many_differences_names_the_first(imported: Provider):
    Post.objects.bulk_create(Post(title=f"new {n}", body="b") for n in range(30))
    code, output = run_command("lockstep", "audit")
    assert code == 2, output
    assert "(30 differ: see manage.py sync_with_fake_system --plan)" in output


def test_apply_repairs_exactly_the_plan_and_a_second_plan_exits_0(imported: Provider):
    imported.http.patch("/posts/1", json={"title": "changed by hand"})
    imported.http.delete("/comments/3")
    imported.http.delete("/posts/7")
    imported.http.post("/posts", json={"userId": 1, "title": "added by hand", "body": "b"})
    imported.server.forget_requests()
    code, output = run_sync()
    assert code == 0, output
    assert "Done: 4 created, 1 updated, 1 deleted; 0 failed." in output
    assert equal(imported)
    assert imported.writes() == {"PUT": 1, "POST": 4, "DELETE": 1}
    assert run_plan()[0] == 0


def test_writes_made_without_a_worker_are_in_the_plan(imported: Provider):
    post = Post.objects.create(title="new", body="b")
    Comment.objects.create(post=post, name="n", email="e", body="b")
    Post.objects.filter(number=1).update(title="edited")
    Post.objects.filter(number=2).update(deleted=LATER)
    code, output = run_plan()
    assert code == 2
    assert "Plan: 2 to create, 1 to update, 3 to delete, 0 not kept by the provider." in output
    assert run_sync()[0] == 0
    assert equal(imported)
    assert run_plan()[0] == 0


def test_apply_and_worker_do_not_create_one_object_twice(
    imported: Provider, worker: BackgroundWorker, database: psycopg.Connection
):
    Post.objects.create(title="new", body="b")
    assert run_sync()[0] == 0
    worker.start()
    eventually(lambda: drained(database))
    assert equal(imported)
    assert len(imported.posts()) == 11


def test_more_deletions_than_allowed_change_nothing(imported: Provider):
    for n in range(3):
        imported.http.post("/posts", json={"userId": 1, "title": str(n), "body": "b"})
    imported.http.delete("/posts/1")
    imported.server.forget_requests()
    code, output = run_sync("--max-delete", "2")
    assert code == 1
    assert "deletes 3 objects" in output
    assert "--max-delete 3" in output
    assert imported.writes() == {}
    assert run_sync("--max-delete", "3")[0] == 0
    assert equal(imported)


def test_an_audit_of_a_provider_that_cannot_be_read_compares_nothing(imported: Provider):
    assert (posts_check().differing, posts_check().not_compared) == ([], "")
    imported.faults(methods=["GET"], status=500)
    finding = posts_check()
    assert (finding.differing, "the provider could not be read" in finding.not_compared) == ([], True)


def posts_check() -> Finding:
    return mirror_check(JSONPLACEHOLDER)()


def test_a_provider_that_was_never_imported_is_not_emptied(provider: Provider):
    code, output = run_sync()
    assert code == 1
    assert "import_data_from_api" in output
    assert len(provider.posts()) == 10


@pytest.mark.parametrize(
    "fault", [{"cut": True}, {"status": 500}, {"garbage": True}, {"cut": True, "path": "/comments"}]
)
@pytest.mark.parametrize("command", [run_plan, run_sync])
def test_a_listing_that_cannot_be_read_to_its_end_plans_nothing(imported: Provider, fault: dict, command):
    imported.faults(methods=["GET"], **fault)
    imported.server.forget_requests()
    code, output = command()
    assert code == 1
    assert "could not be read, and nothing was changed" in output
    assert imported.writes() == {}


def test_failed_pushes_are_reported_with_exit_code_1(imported: Provider):
    Post.objects.filter(number=1).update(title="edited")
    Post.objects.filter(number=2).update(title="edited too")
    imported.faults(methods=["PUT"], path="/posts/1", status=422)
    code, output = run_sync()
    assert code == 1
    assert "failed update posts 1: " in output
    assert "1 updated" in output
    imported.faults()
    assert run_sync()[0] == 0
    assert equal(imported)


def test_a_field_that_is_missing_or_odd_at_the_provider_is_a_difference(imported: Provider):
    imported.http.put("/posts/1", json={"userId": "1", "body": 7})
    code, output = run_plan()
    assert code == 2
    assert "    title: nothing → " in output
    assert "    body: 7 → " in output
    assert "userId" not in output  # "1" is 1


def test_the_plan_reports_a_provider_that_stores_nothing_and_pushes_end(amnesiac: Provider):
    run_import()
    post = Post.objects.create(title="forgotten", body="b")
    push(post)
    Post.objects.filter(number=1).update(title="edited")
    Post.objects.filter(number=2).update(deleted=LATER)
    code, output = run_sync()
    assert code == 0
    assert "does not persist writes" in output
    amnesiac.server.forget_requests()
    for _ in range(2):
        code, output = run_plan()
        assert code == 2
        # the new post, the edited one, and the deleted one with its two comments
        assert "0 to create, 0 to update, 0 to delete, 5 not kept by the provider." in output
        assert "it acknowledged 5 of ours and then did not show them" in output
        assert run_sync()[0] == 0
    assert amnesiac.writes() == {}


def test_manual_drift_of_a_verified_copy_is_not_taken_for_a_lost_write(imported: Provider):
    post = Post.objects.create(title="new", body="b")
    push(post)
    imported.http.delete("/posts/11")
    code, output = run_plan()
    assert code == 2
    assert "1 to create" in output


def test_a_creation_in_doubt_is_neither_deleted_nor_created_twice(imported: Provider):
    post = Post.objects.create(title="in doubt", body="b")
    imported.faults(methods=["POST"], after_effect=True, times=1, status=500)
    with pytest.raises(Exception, match="500"):
        push(post)
    imported.faults()
    _, output = run_plan()
    assert "0 to delete" in output
    assert run_sync()[0] == 0
    assert equal(imported)


def test_a_drift_check_stores_its_result(imported: Provider, worker: BackgroundWorker):
    imported.http.patch("/posts/1", json={"title": "changed by hand"})
    worker.start()
    check = eventually(lambda: DriftCheck.objects.first())
    assert check.counts == {"update": 1}


def test_the_check_repairs_writes_lost_before_the_provider_was_known_to_store(
    imported: Provider, worker: BackgroundWorker
):
    first, second = Post.objects.filter(number__in=[1, 2]).order_by("number")
    Post.objects.filter(number=2).update(title="edited")
    imported.faults(methods=["PUT", "DELETE"], ignored=True, times=2)
    assert [push(first, deleted=True), push(second)] == [False, False]
    for n in range(3):
        push(Post.objects.create(title=f"kept {n}", body="b"))
    Post.objects.filter(number=1).update(deleted=LATER)
    worker.subscribers = []  # deliveries of these changes would repair it, too
    worker.start()
    eventually(lambda: 1 not in imported.posts() and imported.posts()[2]["title"] == "edited")


def test_the_check_repairs_objects_whose_id_another_object_got(imported: Provider, worker: BackgroundWorker):
    """It was never seen there, and the read that was requested when it lost its id was never made."""
    post = Post.objects.create(title="lost", body="b")
    push(post)
    imported.http.delete("/posts/11")
    RemoteObject.objects.filter(object_id=post.pk).update(
        remote_id=None, verified_at=None, acknowledged_at="2026-01-01T00:00Z"
    )
    worker.subscribers = []
    worker.start()
    eventually(lambda: "lost" in {row["title"] for row in imported.posts().values()})


@pytest.fixture
def sweeping(transactional_db: None) -> Iterator[Provider]:
    """A provider with users, which removes at any DELETE every post whose user it does not know."""
    with StandIn(posts=10, comments_per_post=2, users=10) as server:
        settings.POSTS_PROVIDER_URL = server.url
        assert run_import()[0] == 0
        yield Provider(server)


def test_copies_that_a_deletion_removed_as_well_are_restored(
    sweeping: Provider, worker: BackgroundWorker, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
):
    # The check for drift, which a worker begins with, would ask for the same look.
    work = [each for each in periodic._registered if not each.name.endswith("-drift")]
    monkeypatch.setattr(periodic, "_registered", work)
    worker.start()
    post = Post.objects.create(title="ours", body="b")
    Comment.objects.create(post=post, name="n", email="e", body="b")
    eventually(lambda: equal(sweeping))
    # Of a post, which takes its comments with it there, the deletions of the comments would tell as well.
    Comment.objects.filter(number=4).update(deleted=LATER)
    eventually(lambda: 4 not in sweeping.comments())
    eventually(lambda: equal(sweeping))
    eventually(lambda: drained(database))
    remote = RemoteObject.objects.get(object_id=post.pk).remote_id
    assert [c["postId"] for c in sweeping.comments().values() if c["name"] == "n"] == [int(remote)]


def test_a_deletion_without_a_response_is_reconciled_too(
    sweeping: Provider, worker: BackgroundWorker, database: psycopg.Connection
):
    worker.start()
    Post.objects.create(title="ours", body="b")
    eventually(lambda: equal(sweeping))
    sweeping.faults(methods=["DELETE"], after_effect=True, times=1, cut=True)
    Post.objects.filter(number=4).update(deleted=LATER)
    eventually(lambda: drained(database) and equal(sweeping))


def test_reissued_ids_are_not_taken_for_stale_ones(imported: Provider):
    for n in range(20):
        push(Post.objects.create(title=f"ours {n}", body="b"))
    for _ in range(3):
        for number in range(11, 31):
            imported.http.delete(f"/posts/{number}")
        code, output = run_sync()
        assert code == 0, output
        assert equal(imported)
        assert run_plan()[0] == 0


def test_apply_repairs_side_effects_of_its_deletions(sweeping: Provider):
    post = Post.objects.create(title="ours", body="b")
    Comment.objects.create(post=post, name="n", email="e", body="b")
    assert run_sync()[0] == 0
    sweeping.http.post("/posts", json={"userId": 1, "title": "foreign", "body": "b"})
    assert run_sync()[0] == 0
    assert equal(sweeping)
    assert run_plan()[0] == 0
