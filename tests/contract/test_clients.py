"""The clients that `make clients` generates: the programs of examples/clients/ on them, checked and run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devstack import clients
from tests.acceptance.running import ROOT
from tests.contract.providers import node_modules
from tests.support import Person

EXAMPLES = ROOT / "examples" / "clients"
PRINTED = """\
post: Hello
products: pump, bicycle, bell
order: PENDING_CONFIRMATION 5.00, the same: true
problem: /problems/invalid 400, title: This field may not be blank.
"""

pytestmark = pytest.mark.slow  # generates code, and checks its types


@pytest.fixture(scope="module")
def python_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the package lies."""
    folder = tmp_path_factory.mktemp("clients") / "python"
    clients.generate_python(folder)
    return folder


@pytest.fixture(scope="module")
def typescript_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed the package and openapi-fetch."""
    folder = tmp_path_factory.mktemp("clients")
    clients.generate_typescript(folder / "typescript")
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / clients.NPM_PACKAGE).symlink_to(folder / "typescript")
    (folder / "node_modules" / "openapi-fetch").symlink_to(node_modules() / "openapi-fetch")
    (folder / "package.json").write_text(json.dumps({"type": "module"}))
    return folder


def run(command: list[str], folder: Path, **environment: str) -> str:
    """What a program writes; "" and what it complains of, where it fails."""
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else f"failed: {done.stdout}{done.stderr}"


def check_python(program: Path, client: Path) -> str:
    command = [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--cache-dir", str(client.parent / "mypy")]
    return run([*command, str(program)], program.parent, MYPYPATH=str(client))


def compile_typescript(source: str, folder: Path) -> str:
    """Compiles shop.ts, as its first lines say."""
    (folder / "shop.ts").write_text(source)
    options = ["--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"]
    return run([str(node_modules() / ".bin" / "tsc"), *options, "--outDir", "out", "shop.ts"], folder)


def test_the_python_program_does_what_it_says(python_client: Path, live_server: Any):
    Person.make("ada")
    command = [sys.executable, str(EXAMPLES / "shop.py"), live_server.url, "ada", "ada-password"]
    printed = run(command, EXAMPLES, PYTHONPATH=str(python_client))
    assert printed == PRINTED.replace("true", "True")
    wrong = run([*command[:-1], "wrong"], EXAMPLES, PYTHONPATH=str(python_client))
    assert "Authentication required: The username or the password is wrong." in wrong


def test_the_python_program_has_right_types(python_client: Path, tmp_path: Path):
    assert check_python(EXAMPLES / "shop.py", python_client).startswith("Success")
    misspelt = tmp_path / "shop.py"
    misspelt.write_text((EXAMPLES / "shop.py").read_text().replace("post.title", "post.titel"))
    assert '"Post" has no attribute "titel"' in check_python(misspelt, python_client)


@pytest.mark.needs("node")
@pytest.mark.needs("typescript")
def test_the_typescript_program_has_right_types_and_does_what_it_says(typescript_folder: Path, live_server: Any):
    source = (EXAMPLES / "shop.ts").read_text()
    misspelt = compile_typescript(source.replace("post.title", "post.titel"), typescript_folder)
    assert "Property 'titel' does not exist" in misspelt
    assert compile_typescript(source, typescript_folder) == ""
    Person.make("ada")
    command = ["node", "out/shop.js", live_server.url, "ada", "ada-password"]
    assert run(command, typescript_folder) == PRINTED
    assert "The username or the password is wrong." in run([*command[:-1], "wrong"], typescript_folder)


@pytest.mark.needs("node")
@pytest.mark.needs("typescript")
def test_messages_to_webhooks_have_types(typescript_folder: Path):
    receiver = """
        import type { webhooks } from "lockstep-client";
        type Created = webhooks["posts.post.created"]["post"]["requestBody"]["content"]["application/json"];
        export const title = (event: Created): string => event.data.after.COLUMN;
    """
    assert compile_typescript(receiver.replace("COLUMN", "title"), typescript_folder) == ""
    assert "Property 'titel' does not exist" in compile_typescript(
        receiver.replace("COLUMN", "titel"), typescript_folder
    )


def test_the_command_generates_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    generated: list[Path] = []
    with pytest.MonkeyPatch.context() as patch:
        for language in ("python", "typescript"):
            patch.setitem(clients.GENERATORS, language, generated.append)
        assert clients.main(["--output", str(tmp_path)]) == 0
        assert clients.main(["--output", str(tmp_path), "typescript"]) == 0
    assert generated == [tmp_path / "python", tmp_path / "typescript", tmp_path / "typescript"]
    assert str(tmp_path / "python") in capsys.readouterr().out


def test_a_generator_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(clients, "DESCRIPTION", tmp_path / "none.yaml")
    assert clients.main(["--output", str(tmp_path), "python"]) == 1
    assert "failed" in capsys.readouterr().err
