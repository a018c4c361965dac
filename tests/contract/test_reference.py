"""docs/reference.md has every exported name, setting, command and check of the engine, and no others.

And what all documents name is there: files, headings, decisions.
"""

import ast
import inspect
import re
from argparse import _SubParsersAction
from pathlib import Path
from textwrap import dedent

import pytest
from django.conf import settings
from django.core.management import BaseCommand

import lockstep
from lockstep.conf import LockstepSettings, known_settings
from lockstep.management.commands.lockstep import Command

ROOT = Path(settings.BASE_DIR)
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
# Paths as documents name them: below the repository, with a file's ending or a slash behind them.
FOLDERS = "lockstep|backend|devstack|tests|bench|docs|deploy|examples"
PATH = re.compile(rf"(?<![\w./<>-])((?:{FOLDERS})/[\w./-]*(?:\.(?:py|sql|md|js|yaml)|/))(?![\w<…])")
# A file that a how-to lets its reader write.
WRITTEN = re.compile(r"^In (?:place of the same lines of )?`(.+)`:$", re.MULTILINE)
DECISIONS = ROOT / "docs" / "decisions"
# All but the changelog, which names what there was.
DOCUMENTS = sorted(
    file.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "bench/*.md", "devstack/**/*.md")
    for file in ROOT.glob(pattern)
    if file.name != "CHANGELOG.md"
)


def section(title: str, level: int = 2) -> str:
    """The text below a heading, up to the next one of its level or above."""
    marks = "#" * level
    found = re.search(
        rf"^{marks} {re.escape(title)}\n(.*?)(?=^#{{1,{level}}} |\Z)", REFERENCE, re.MULTILINE | re.DOTALL
    )
    assert found, f"docs/reference.md has no section {title!r}"
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's tables, without their heads."""
    tables = re.findall(r"^\|.*\n\|[-|]+\n((?:\|.*\n)+)", section(title), re.MULTILINE)
    lines = [line for table in tables for line in table.splitlines()]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_reference_has_each_exported_name_with_its_parameters():
    named = re.findall(r"^### `(\w+)`$", section("Exported names"), re.MULTILINE)
    assert sorted(named) == sorted(lockstep.__all__)
    for name in named:
        exported = getattr(lockstep, name)
        if callable(exported) and name not in ("capture", "Change"):
            words = set(re.findall(r"\w+", section(f"`{name}`", 3)))
            assert set(inspect.signature(exported).parameters) <= words, name


def test_reference_has_each_parameter_of_capture_and_attribute_of_a_change():
    words = set(re.findall(r"\w+", section("`capture`", 3)))
    assert set(inspect.signature(lockstep.capture).parameters) <= words
    named = set(
        re.findall(
            r"`(\w+)`", " ".join(line.split("|")[1] for line in section("`Change`", 3).splitlines() if "|" in line)
        )
    )
    assert named == {*lockstep.Change.__dataclass_fields__, "changed"}


def test_reference_has_each_method_of_a_subscription_with_its_parameters():
    methods = dict(re.findall(r"^\| `\.(\w+)\((.*?)\)`", section("`subscription`", 3), re.MULTILINE))
    handle = type(lockstep.subscription("any"))
    own = {name: function for name, function in vars(handle).items() if inspect.isfunction(function) and name[0] != "_"}
    assert methods.keys() == own.keys()
    for name, function in own.items():
        parameters = set(inspect.signature(function).parameters) - {"self"}
        assert set(re.findall(r"(\w+)=", methods[name])) == parameters, name


def test_reference_has_each_setting_with_its_type_and_default():
    named = {key.strip("`"): (type_.strip("`"), default.strip("`")) for key, type_, default, _ in rows("Settings")}
    assert named.keys() == known_settings()
    for name, (type_, default) in named.items():
        annotation = LockstepSettings.__annotations__[name]
        expected = annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else ""
        assert type_ == (expected or str(annotation).rpartition(".")[2]), name
        assert default == repr(vars(LockstepSettings)[name]), name


def test_reference_has_each_command_with_its_options():
    parser = Command().create_parser("manage.py", "lockstep")
    of_django = {option for action in BaseCommand().create_parser("", "")._actions for option in action.option_strings}
    [subparsers] = [action for action in parser._actions if isinstance(action, _SubParsersAction)]
    named = {words.strip("`").split()[0]: words for words, _ in rows("Commands")}
    assert named.keys() == subparsers.choices.keys()
    for name, command in subparsers.choices.items():
        options = {option for action in command._actions for option in action.option_strings} - of_django
        assert ("--json" in options) == (name != "worker"), name
        options.discard("--json")  # named once, before the table
        assert set(re.findall(r"--[a-z-]+", named[name])) == options, name


def test_reference_has_the_json_of_each_command():
    parser = Command().create_parser("manage.py", "lockstep")
    [subparsers] = [action for action in parser._actions if isinstance(action, _SubParsersAction)]
    named = {name.split()[0] for cell, *_ in rows("JSON of the commands") for name in re.findall(r"`([^`]+)`", cell)}
    assert named - {"manage.py"} == subparsers.choices.keys() - {"worker"}


def test_reference_has_each_check():
    sources = [file for file in (ROOT / "lockstep").rglob("*.py") if "tests" not in file.parts]
    in_code = {number for file in sources for number in re.findall(r'"(?:lockstep\.)?([EW]\d{3})"', file.read_text())}
    assert {words.strip("`") for words, *_ in rows("Checks")} == {f"lockstep.{number}" for number in in_code}


def test_example_of_the_readme_uses_names_and_options_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^    # blog/models.py\n(?:    .*\n|\n)+", text, re.MULTILINE)
    assert found
    tree = ast.parse(dedent(found[0]))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert names - set(lockstep.__all__) == {"models", "open_crm", "answer", "change", "crm", "str"}
    for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]:
        exported = getattr(lockstep, call.func.id, None)
        if exported is not None:
            inspect.signature(exported).bind(*call.args, **{word.arg: word.value for word in call.keywords})


@pytest.mark.parametrize("name", DOCUMENTS)
def test_paths_that_documents_name_exist(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    named = dict.fromkeys(PATH.findall(text)).keys() - set(WRITTEN.findall(text))
    missing = [path for path in named if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_of_documents_lead_to_files_and_headings(name: str):
    file = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        other = (file.parent / path).resolve() if path else file
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


def test_index_has_each_decision_with_its_title():
    index = re.findall(r"^- (\d+)\. \[(.+)\]\((.+)\)$", (DECISIONS / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(name for _, _, name in index) == sorted(file.name for file in DECISIONS.glob("0*.md"))
    for number, title, name in index:
        assert name.startswith(f"{int(number):04}-")
        assert (DECISIONS / name).read_text("utf-8").startswith(f"# {number}. {title}\n")


def test_decisions_that_are_named_are_there():
    there = {int(file.name[:4]) for file in DECISIONS.glob("0*.md")}
    files = [ROOT / name for name in DOCUMENTS]
    files += [
        file for top in ("lockstep", "backend", "devstack", "tests", "deploy") for file in (ROOT / top).rglob("*.py")
    ]
    for file in files:
        for sentence in re.findall(r"(?<!Replaces )\b[Dd]ecisions? ((?:\d+(?:, | and )?)+)", file.read_text("utf-8")):
            assert {int(number) for number in re.findall(r"\d+", sentence)} <= there, f"{file}: {sentence}"
