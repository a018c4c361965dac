"""Each block of code of the tutorials and how-tos is executed by a test, or listed here with the reason why not."""

import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
BLOCK = re.compile(r"(?:^\S.*\n)\n((?: {4}.*\n|\n)+)", re.MULTILINE)
GROUPS = ("Tutorial", "How-to")
# Which test executes all blocks of a page. It reads the page itself, so that it names it.
EXECUTED = {
    "tutorial.md": "lockstep/tests/test_tutorial.py",
    "tutorial-backend.md": "tests/browser/test_pictures.py",
    "webhooks-in-your-project.md": "lockstep/tests/test_webhooks_page.py",
    "how-to/subscriber.md": "lockstep/tests/test_how_to.py",
    "how-to/destination.md": "lockstep/tests/test_how_to.py",
    "how-to/celery.md": "lockstep/tests/test_how_to.py",
    "how-to/upgrade.md": "lockstep/tests/test_how_to.py",
    "how-to/app.md": "tests/contract/test_how_to.py",
    "how-to/provider.md": "tests/contract/test_how_to.py",
    "operations.md": "tests/faults/test_backup_drill.py",
    "deployment.md": "tests/images/test_documents.py",  # which lists what needs a registry, a cluster or systemd
    "deployment-aws.md": "tests/images/test_aws.py",
}
# The beginning of each other block, and why nothing executes it.
NOT_EXECUTED = {
    "clients.md": {
        "make clients": "tests/contract/test_clients.py generates them into another folder, as it does",
        "pip install ./clients/python": "test_clients.py runs the same program against a running system",
        "npm install ./clients/typescript": "test_clients.py compiles and runs the same program",
        "post = create_post.sync(": "it is a part of examples/clients/shop.py",
        "const { data, error } = await client.POST(": "it is a part of examples/clients/shop.ts",
        "event = PostsPostCreatedEvent.from_dict(": "a line for a receiver of the reader's own",
        'type Created = webhooks["posts.post.created"]': "a line for a receiver of the reader's own",
    },
    "contributing.md": {
        ".venv/bin/python -m devstack.launcher exec --test-servers 1 --": "it is how a test is run, with any path",
    },
}


def pages() -> list[str]:
    """The pages of the two groups, as mkdocs.yml has them."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    found = [re.search(rf"^  - {group}:\n((?:      .*\n)+)", text, re.MULTILINE) for group in GROUPS]
    return [page for group in found if group for page in re.findall(r": (\S+\.md)$", group[1], re.MULTILINE)]


def blocks(page: str) -> list[str]:
    """The blocks of a page."""
    source = ROOT / "docs" / page
    text = (source if source.exists() else ROOT / page.upper().replace(".MD", ".md")).read_text(encoding="utf-8")
    return [block.strip() for block in BLOCK.findall(text)]


def test_both_groups_have_pages():
    assert {"tutorial.md", "how-to/app.md"} <= set(pages())


@pytest.mark.parametrize("page", pages())
def test_each_block_is_executed_or_listed_with_the_reason(page: str):
    if page in EXECUTED:
        assert Path(page).name in (ROOT / EXECUTED[page]).read_text(encoding="utf-8")
        return
    listed = NOT_EXECUTED.get(page, {})
    assert [block for block in blocks(page) if not block.startswith(tuple(listed))] == []
    assert all(any(block.startswith(beginning) for block in blocks(page)) for beginning in listed)


def test_what_is_listed_is_a_page_of_these_groups():
    assert {*EXECUTED, *NOT_EXECUTED} <= set(pages())
