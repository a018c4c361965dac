"""Plans and their application from the console, against the stand-in."""

import asyncio
import re
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from backend.accounts.models import User
from backend.posts.models import Comment, Post
from lockstep.console import mirror_runs, runs
from lockstep.console.models import Difference, Operation, Run
from lockstep.console.views import mirrors as views
from lockstep.delivery.database import open_pool
from lockstep.delivery.periodic import declare_periodic
from lockstep.mirror.models import MirrorState
from lockstep.mirror.tests.support import Provider, run_import

PAGE = "/console/mirrors/jsonplaceholder/"
ATTACK = "<script>alert(1)</script>"


@pytest.fixture
def client(provider: Provider) -> Client:
    user = User.objects.create_user("operator", email="operator@example.com", is_staff=True)
    names = ("view_subscription", "operate_subscription")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    signed_in = Client()
    signed_in.force_login(user)
    return signed_in


def look() -> None:
    async def once() -> None:
        async with open_pool(2) as pool:
            async with pool.connection() as own:
                await declare_periodic(own)
            await runs.start_waiting_runs(pool)
            await asyncio.gather(*runs._tasks)

    asyncio.run(once())


def see(client: Client, path: str, **query: object) -> str:
    response = client.get(path, query)
    text = response.content.decode()
    assert response.status_code == 200, text
    return text


def confirm(client: Client, path: str, **values: object) -> Any:
    """The second and the third step. Returns the last response."""
    page = client.post(path, values | {"step": "preview"}).content.decode()
    found = re.search(r'name="key" value="([^"]+)"', page)
    assert found, page
    return client.post(path, values | {"key": found[1]})


def make_plan(client: Client) -> Run:
    assert confirm(client, f"{PAGE}plan/").status_code == 302
    look()
    return Run.objects.filter(kind="plan").latest("pk")


def apply(client: Client, plan: Run, **values: object) -> Run:
    response = confirm(client, f"/console/runs/{plan.pk}/apply/", **values)
    run = Run.objects.filter(kind="apply").latest("pk")
    assert response["Location"] == f"/console/runs/{run.pk}/"
    look()
    run.refresh_from_db()
    return run


def outcomes(run: Run) -> dict[str, str]:
    """What came of each difference, by its name or id."""
    rows = Difference.objects.filter(run=run)
    return {f"{row.kind} {row.collection} {row.name or row.remote_id}": row.outcome for row in rows}


def make_drift(provider: Provider) -> None:
    """One update, one creation with a child, one deletion."""
    provider.http.patch("/posts/2", json={"title": f"by hand {ATTACK}"})
    provider.http.post("/comments", json={"postId": 1, "name": "theirs", "email": "a@b.cd", "body": "c"})
    provider.http.delete("/posts/9")


def test_a_plan_is_made_and_changes_nothing(client: Client, provider: Provider):
    run_import()
    assert "In step" in see(client, "/console/mirrors/") or "Not compared yet." in see(client, "/console/mirrors/")
    make_drift(provider)
    writes = provider.writes()
    plan = make_plan(client)
    assert plan.state == "done" and provider.writes() == writes
    page = see(client, f"/console/runs/{plan.pk}/")
    assert "by hand" in page and ATTACK not in page and "&lt;script&gt;" in page
    post = Post.objects.get(number=2)
    assert f'href="/console/objects/posts.post/{post.pk}/"' in page and post.title in page
    assert "only there" in page and "Apply…" in page
    assert Operation.objects.get().subscription == "jsonplaceholder-mirror"
    filtered = see(client, f"/console/runs/{plan.pk}/", kind="update")
    assert "by hand" in filtered and "only there" not in filtered
    assert "by hand" in see(client, f"/console/runs/{plan.pk}/", field="title", collection="posts", own="no")
    assert "by hand" not in see(client, f"/console/runs/{plan.pk}/", key="9")
    assert f"/console/runs/{plan.pk}/" in see(client, PAGE)


def test_a_plan_is_applied(client: Client, provider: Provider):
    run_import()
    make_drift(provider)
    plan = make_plan(client)
    run = apply(client, plan)
    assert run.state == "done", run.outcome
    assert set(outcomes(run).values()) == {"done"}, outcomes(run)
    assert run.plan_id == plan.pk and run.summary["left"] == 0
    assert provider.posts()[2]["title"] == Post.objects.get(number=2).title
    assert "theirs" not in {row["name"] for row in provider.comments().values()}
    assert {row["title"] for row in provider.posts().values()} == set(Post.objects.values_list("title", flat=True))
    page = see(client, f"/console/runs/{run.pk}/")
    assert "Afterwards nothing differs." in page and "a plan</a>" in page
    operation = Operation.objects.get(kind="apply")
    assert operation.parameters["plan"] == str(plan.pk) and operation.actor == run.actor
    assert make_plan(client).outcome.startswith("No drift")


def test_what_has_changed_since_the_plan_is_left_alone_and_named(client: Client, provider: Provider):
    run_import()
    for number in (2, 3, 4):
        provider.http.patch(f"/posts/{number}", json={"title": f"by hand {number}"})
    plan = make_plan(client)
    provider.http.patch("/posts/3", json={"title": "by another hand"})
    provider.http.patch("/posts/4", json={"title": Post.objects.get(number=4).title})
    provider.http.patch("/posts/5", json={"title": "new drift"})
    run = apply(client, plan)
    assert outcomes(run) == {
        "update posts 2": "done",
        "update posts 3": mirror_runs.CHANGED,
        "update posts 4": mirror_runs.GONE,
    }
    assert provider.posts()[3]["title"] == "by another hand" and provider.posts()[5]["title"] == "new drift"
    assert (run.summary["skipped"], run.summary["new"], run.summary["left"]) == (2, 1, 2)
    assert "had changed since the plan" in see(client, f"/console/runs/{run.pk}/")
    assert "by another hand" not in see(client, f"/console/runs/{run.pk}/", result="done")


def test_our_own_newer_version_counts_as_changed(client: Client, provider: Provider):
    run_import()
    provider.http.patch("/posts/2", json={"title": "by hand"})
    plan = make_plan(client)
    Post.objects.filter(number=2).update(title="written here since")
    run = apply(client, plan)
    assert outcomes(run) == {"update posts 2": mirror_runs.CHANGED}
    assert provider.posts()[2]["title"] == "by hand"


def test_deletions_above_the_ceiling_need_their_number(
    client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
):
    run_import()
    monkeypatch.setattr(views, "DEFAULT_MAX_DELETE", 1)
    for number in (2, 3):
        provider.http.post("/comments", json={"postId": 1, "name": f"n{number}", "email": "a@b.cd", "body": "c"})
    plan = make_plan(client)
    path = f"/console/runs/{plan.pk}/apply/"
    assert "Write their number to confirm." in see(client, path)
    refused = client.post(path, {"deletions": "1", "step": "preview"}).content.decode()
    assert "Nothing is applied without this number." in refused and 'name="key"' not in refused
    direct = client.post(path, {"key": UUID(int=1)})
    assert direct.status_code == 400 and not Run.objects.filter(kind="apply").exists()
    run = apply(client, plan, deletions=2)
    assert run.summary["done"]["delete"] == 2


def test_before_an_import_every_deletion_needs_its_number(client: Client, provider: Provider):
    plan = make_plan(client)
    assert plan.summary["counts"]["delete"] == 30
    page = see(client, f"/console/runs/{plan.pk}/apply/")
    assert "Nothing was ever imported" in page and "Write their number to confirm." in page
    assert "Nothing was ever imported." in see(client, "/console/mirrors/")
    assert len(provider.posts()) == 10


def test_a_provider_that_cannot_be_read_fails_the_plan(client: Client, provider: Provider):
    run_import()
    provider.faults(status=503)
    plan = make_plan(client)
    assert plan.state == "failed" and "could not be read" in plan.outcome
    assert client.post(f"/console/runs/{plan.pk}/apply/", {"key": UUID(int=2)}).status_code == 302
    assert not Run.objects.filter(kind="apply").exists()


def test_a_failed_push_is_named(client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch):
    run_import()
    provider.http.patch("/posts/2", json={"title": "by hand"})
    plan = make_plan(client)

    async def refuse(*arguments: object) -> bool:
        raise KeyError(ATTACK)

    monkeypatch.setattr("lockstep.mirror.push.Pusher.push", refuse)
    run = apply(client, plan)
    [row] = Difference.objects.filter(run=run)
    assert row.failed and run.summary["failed"] == 1
    page = see(client, f"/console/runs/{run.pk}/", result="failed")
    assert "KeyError" in page and ATTACK not in page


def test_applying_ends_a_stop(client: Client, provider: Provider):
    run_import()
    provider.http.patch("/posts/2", json={"title": "by hand"})
    MirrorState.objects.update_or_create(
        provider="jsonplaceholder", defaults={"stopped_at": "2026-11-30T12:00Z", "reason": ATTACK}
    )
    page = see(client, PAGE)
    assert "Mending has stopped." in page and ATTACK not in page
    apply(client, make_plan(client))
    assert MirrorState.objects.get().stopped_at is None


def test_a_plan_names_so_many_differences_and_applies_those(
    client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
):
    run_import()
    monkeypatch.setattr(mirror_runs, "MAX_DIFFERENCES", 2)
    for number in (2, 3, 4):
        provider.http.patch(f"/posts/{number}", json={"title": f"by hand {number}"})
    plan = make_plan(client)
    assert plan.summary["left_out"] == 1 and "1 more are not kept." in see(client, f"/console/runs/{plan.pk}/")
    run = apply(client, plan)
    assert run.summary["done"]["update"] == 2 and run.summary["left"] == 1


def test_copies_are_counted_by_the_plan(client: Client, provider: Provider):
    run_import()
    plan = make_plan(client)
    assert {copy["collection"]: copy["verified"] for copy in plan.summary["copies"]} == {
        "jsonplaceholder/posts": 10,
        "jsonplaceholder/comments": 20,
    }
    assert Comment.objects.count() == 20
