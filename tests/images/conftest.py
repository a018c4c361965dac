"""What the tests of images share. They are a layer of their own: `make test-images`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.images.engine import Engine
from tests.images.production import Production, running

# Files whose tests run no container.
WITHOUT_CONTAINERS = {
    *("test_aws.py", "test_documents.py", "test_files.py", "test_monitoring.py", "test_systemd.py"),
    "test_workflows.py",
}


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Where these are not wanted, what they import need not be installed."""
    return "not images" in config.option.markexpr or None


class Scheduling(LoadScopeScheduling):
    """What may run containers goes one after the other in one process, what runs none beside it, by files."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.partition("::")[0]).name
        return file if file in WITHOUT_CONTAINERS else "containers"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """For `--dist loadscope`."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that lies here."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.images)
            if "engine" in getattr(item, "fixturenames", ()):
                assert item.path.name not in WITHOUT_CONTAINERS, item.nodeid
                item.add_marker(pytest.mark.needs("containers"))


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """podman, with all images that compose files name."""
    engine = Engine(tmp_path_factory.mktemp("engine"))
    engine.build_ours()
    engine.build_others()
    with engine.serving():
        yield engine


@pytest.fixture(scope="session")
def production(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """Production's shape, running: its files' tests come one after the other and share it."""
    with running(engine, tmp_path_factory.mktemp("production")) as production:
        yield production
