"""A change of version under load, with migrations that add, fill and drop a captured column, loses no request.

An oracle of its own beside what requests and provider say: what a receiver of webhooks was sent of each post is one
chain, in which each change begins where the one before it ended.
"""

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest

from tests.images import versions
from tests.images.client import Load
from tests.images.production import RECEIVER, Production
from tests.support import eventually

Document = dict[str, Any]


@pytest.fixture(scope="module")
def later(production: Production, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The images of the versions that follow."""
    return versions.build(production.system.engine, tmp_path_factory.mktemp("versions"))


@pytest.fixture(scope="module")
def followed(production: Production) -> None:
    """A user's webhook that follows the changes of all posts."""
    follower = production.register("follower")
    wanted = {"url": f"https://{RECEIVER}:8443/", "events": ["posts.post.updated"]}
    made = follower.post("/api/v1/webhooks/", json=wanted)
    assert made.status_code == 201, made.text


@pytest.mark.timeout(1_800)  # changes of version, each as long as the load lets it
def test_a_captured_column_comes_is_filled_and_goes_while_requests_come(
    production: Production, later: list[str], followed: None
):
    """In between two processes return to the first version, whose code works with the tables."""
    adds, forgets, drops = later

    def upgrade() -> None:
        production.roll(adds)
        production.step_back("web-b", "worker-b")
        production.roll(forgets)
        assert columns(production) == [["edition"]]
        production.migrate(drops)
        assert columns(production) == []

    load = production.under_load(upgrade)

    assert_that_nothing_failed(production, load)
    assert columns(production) == []
    filled = "SELECT count(*) FROM lockstep_change WHERE after ->> 'edition' = '1' AND before ->> 'edition' IS NULL"
    assert production.sql(f"{filled} AND actor = 'migration'")[0][0] >= 100  # those that were imported
    latest = "SELECT after FROM lockstep_change WHERE model = 'posts.post' ORDER BY seq DESC LIMIT 1"
    assert "edition" not in production.sql(latest)[0][0]


def columns(production: Production) -> list[list[str]]:
    """The column, where it is there."""
    found = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'posts_post'::regclass AND attname = 'edition'"
    return production.sql(found)


def assert_that_nothing_failed(production: Production, load: Load) -> None:
    """No request, no delivery lost or out of order, the provider and the receiver as the last answers said."""
    errors = [line for line in production.system.logs("nginx").splitlines() if "[error]" in line]
    assert load.failures == [], "\n".join(errors)
    assert load.answers["201"] > 1_000
    eventually(production.is_drained, "all deliveries", 180)
    assert "No drift" in production.system.manage("web", "sync_with_fake_system", "--plan")
    production.system.manage("web", "lockstep", "audit")  # which ends with 2 where anything differs

    said = {title: str(version) for title, version in load.versions.items()}
    posts = {post["title"]: post["body"] for post in json.loads(production.at_provider())}
    assert {title: posts.get(title) for title in said} == said

    chains: dict[str, list[Document]] = defaultdict(list)
    for event in production.received():
        chains[event["data"]["id"]].append(event)
    seen = {}
    for chain in chains.values():
        assert_is_chain(chain)
        last = chain[-1]["data"]["after"]
        seen[last["title"]] = last["body"]
    changed = {title: version for title, version in said.items() if version != "0"}
    assert {title: seen.get(title) for title in changed} == changed


def assert_is_chain(chain: list[Document]) -> None:
    """From what it was to what it is, without a gap: by what every version captures."""
    for earlier, later in pairwise(chain):
        assert shown(earlier["data"]["after"]) == shown(later["data"]["before"]), chain
        assert earlier["timestamp"] <= later["timestamp"], chain


def shown(document: Document) -> tuple[str, str]:
    return document["title"], document["body"]
