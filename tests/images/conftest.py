"""What the tests of images share. They are a layer of their own: `make test-images`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.conftest import alone_in
from tests.images.engine import Engine
from tests.images.production import Production, running

# Files whose tests run no container.
WITHOUT_CONTAINERS = {
    *("test_aws.py", "test_documents.py", "test_files.py", "test_monitoring.py", "test_systemd.py"),
    "test_workflows.py",
}
PRODUCTION = "test_production"  # files that begin so share one system
MONITORING = "test_monitoring.py"


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Where these are not wanted, what they import need not be installed."""
    return "not images" in config.option.markexpr or None


class Scheduling(LoadScopeScheduling):
    """Two processes: production's shape, which takes more than half of the time, and beside it everything else.

    More would not be quicker on two cores. Exactly two parts: a third would be given to the first process whose part is
    nearly done, before the longest test of all.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.partition("::")[0]).name
        return "production" if file.startswith(PRODUCTION) else "everything else"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """For `--dist loadscope`."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that lies here."""
    items.sort(key=_turn)
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.images)
            if "engine" in getattr(item, "fixturenames", ()):
                assert item.path.name not in WITHOUT_CONTAINERS, item.nodeid
                item.add_marker(pytest.mark.needs("containers"))


def _turn(item: pytest.Item) -> int:
    """What runs no container stands first: meanwhile the other process builds the images.

    What mostly waits stands last, beside the load of test_production_versions.py, which takes all that a machine has.
    """
    if item.path.name == MONITORING:
        return 2
    return int(item.path.parent == Path(__file__).parent and item.path.name not in WITHOUT_CONTAINERS)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """podman, with all images that compose files name: the first process that wants them builds them for all."""
    engine = Engine(tmp_path_factory.mktemp("engine"))
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "images"  # of all processes of pytest-xdist
    folder.mkdir(exist_ok=True)
    with alone_in(folder):
        if not (folder / "built").exists():
            engine.build_ours()
            engine.build_others()
            (folder / "built").touch()
    with engine.serving():
        yield engine


@pytest.fixture(scope="session")
def production(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """Production's shape, running: its files' tests come one after the other and share it."""
    with running(engine, tmp_path_factory.mktemp("production")) as production:
        yield production
