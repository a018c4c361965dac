"""The command line of the backend: JSON as docs/backend.md has it, results without what only a terminal gets."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from backend.defects.models import Defect
from backend.entities import stand_ins
from backend.posts.models import Post
from backend.shop.models import Order, Product
from backend.shop.orders.actions import Line, place_order
from backend.shop.payments.actions import confirm_order
from devstack.sandbox import counter, jsonplaceholder, november7, payments
from devstack.sandbox.standin import ServerInThread
from lockstep.changes.tests.test_commands import Terminal
from tests.support import Cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ROOT = Path(django_settings.BASE_DIR)


@pytest.fixture
def systems(settings: Any) -> Iterator[dict[str, Any]]:
    """The stand-ins of development, by name."""
    settings.DEBUG = True
    with ExitStack() as stack:
        started: dict[str, ServerInThread] = {
            "provider": stack.enter_context(jsonplaceholder.StandIn(posts=3, comments_per_post=1)),
            "payments": stack.enter_context(payments.StandIn()),
            "counter": stack.enter_context(counter.StandIn()),
            "movies": stack.enter_context(november7.StandIn(profile=november7.NO_FAULTS)),
        }
        for name, server in started.items():
            setattr(settings, stand_ins.SETTINGS[name], server.url)
        yield started


def ran(*arguments: str, at_terminal: bool = False) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command."""
    out, err = (Terminal(), Terminal()) if at_terminal else (StringIO(), StringIO())
    code = 0
    try:
        call_command(*arguments, stdout=out, stderr=err)
    except SystemExit as end:
        code = int(end.code or 0)
    except CommandError as error:
        return error.returncode, out.getvalue(), f"{err.getvalue()}{error}"
    return code, out.getvalue(), err.getvalue()


def documented() -> dict[str, tuple[str, set[str]]]:
    """Whether each command's document is an array or an object, and its members, by docs/backend.md."""
    text = (ROOT / "docs" / "backend.md").read_text(encoding="utf-8")
    found = {}
    for name, kind, members in re.findall(r"^\| `([^`]+)` \| (array|object) \| (.+) \|$", text, re.MULTILINE):
        found[name] = kind, set(re.findall(r"`(\w+)`", re.sub(r"\(each [^)]*\)", "", members)))
    return found


EXAMPLES = {
    "setup_testing_user": 0,
    "setup_development_accounts": 0,
    "import_data_from_api": 0,
    "sync_with_fake_system --plan": 2,
    "sync_with_fake_system": 0,
    "refresh_movies": 0,
    "counter_gap": 2,
    "end_order": 0,
    "sandbox status": 0,
    "sandbox fault": 0,
    "sandbox mend": 0,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_json_has_the_documented_members(systems: dict[str, Any], cast: Cast, name: str):
    words = name.split()
    if name.startswith("sync_with"):
        assert ran("import_data_from_api")[0] == 0
        Post.objects.filter(number=1).update(title="ours")
    elif name == "counter_gap":
        Defect.objects.create(user=cast.owner.user, comment="a")
    elif name == "end_order":
        product = Product.objects.create(owner=cast.owner.user, name="a", price=Decimal("1.00"), stock=1)
        number = place_order(actor="", buyer=cast.owner.user, lines=[Line(product.pk, 1)]).number
        confirm_order(actor="", order=Order.objects.get(number=number), token="tok_unknown")
        words.append(str(number))
    elif name == "sandbox fault":
        words += ["provider", "--status", "503"]
    code, out, err = ran(*words, "--json")
    found = json.loads(out)
    kind, members = documented()[name]
    assert (code, err) == (EXAMPLES[name], "")
    assert kind == ("array" if isinstance(found, list) else "object")
    assert set(found[0] if kind == "array" else found) == members


def test_each_command_of_the_backend_is_among_the_documented():
    apps = (ROOT / "backend").glob("*/management/commands/[a-z]*.py")
    names = {file.stem for file in apps} - {"migrate"}  # whose output is Django's
    assert {name.split()[0] for name in documented()} == names
    assert documented().keys() == EXAMPLES.keys()


def test_json_of_a_plan_names_each_difference(systems: dict[str, Any]):
    assert ran("import_data_from_api")[0] == 0
    before = Post.objects.get(number=1).title
    Post.objects.filter(number=1).update(title="ours")
    code, out, _ = ran("sync_with_fake_system", "--plan", "--json")
    plan = json.loads(out)
    assert (code, plan["drift"], plan["counts"]["update"], plan["left_out"]) == (2, 1, 1, 0)
    [step] = plan["steps"]
    assert (step["kind"], step["collection"], step["number"]) == ("update", "posts", 1)
    assert step["differences"] == [{"field": "title", "there": before, "here": "ours"}]
    code, out, _ = ran("sync_with_fake_system", "--json")
    result = json.loads(out)
    assert (code, result["done"]) == (0, {"create": 0, "update": 1, "delete": 0})
    assert (result["failed"], result["left"]) == ([], 0)


def test_json_of_a_plan_leaves_out_what_full_has(systems: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    assert ran("import_data_from_api")[0] == 0
    Post.objects.update(title="ours")
    monkeypatch.setattr("lockstep.mirror.report.SHOWN", 1)
    plans = [json.loads(ran("sync_with_fake_system", "--plan", "--json", *more)[1]) for more in ((), ("--full",))]
    assert [(len(plan["steps"]), plan["left_out"]) for plan in plans] == [(1, 2), (3, 0)]


def test_an_error_is_a_sentence_and_the_document_stays_json(systems: dict[str, Any]):
    systems["provider"].faults(status=503)
    code, out, err = ran("import_data_from_api", "--json")
    assert (code, json.loads(out)["completed"]) == (1, False)
    assert "broke off in posts" in err
    code, out, err = ran("sync_with_fake_system", "--plan", "--json")
    assert (code, out) == (1, "")
    assert "could not be read, and nothing was changed" in err


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ("import_data_from_api", "`manage.py sync_with_fake_system --plan`"),
        ("import_data_from_api --if-never", "`manage.py sync_with_fake_system --plan`"),
        ("sync_with_fake_system --plan", "`manage.py import_data_from_api`"),
        ("setup_testing_user", f"Try it: curl -s http://127.0.0.1:{django_settings.PORT}/api/v1/users/me/ "),
        ("sandbox fault provider --status 503", "`manage.py sandbox mend provider`"),
    ],
)
def test_a_terminal_gets_the_next_step_and_a_pipe_does_not(systems: dict[str, Any], words: str, step: str):
    assert step in ran(*words.split(), at_terminal=True)[2]
    _, out, err = ran(*words.split())
    assert step not in out + err


def test_a_plan_with_drift_names_the_command_that_applies_it(systems: dict[str, Any]):
    assert ran("import_data_from_api")[0] == 0
    Post.objects.filter(number=1).update(title="ours")
    code, _, err = ran("sync_with_fake_system", "--plan", at_terminal=True)
    assert (code, "`manage.py sync_with_fake_system`" in err) == (2, True)


def test_every_parser_of_the_repository_refuses_abbreviations():
    """argparse allows them unless it is told otherwise, for each subcommand again."""
    files = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in files.splitlines():
        if not (ROOT / name).exists():
            continue
        for call in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if called in ("ArgumentParser", "add_parser"):
                words = {word.arg: ast.unparse(word.value) for word in call.keywords}
                assert words.get("allow_abbrev") == "False", f"{name}:{call.lineno}"
