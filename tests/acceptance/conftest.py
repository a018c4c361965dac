import subprocess
from pathlib import Path

import pytest

from tests.acceptance.running import Run, free_port


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LOCKSTEP_HOME whose first start, three times as long as the next ones, is over."""
    home = tmp_path_factory.mktemp("started") / "home"
    run = Run(home, free_port())
    try:
        run.until_ready()
        run.make.terminate()
        run.code()
        run.none_left()
    finally:
        run.end()
    return home


@pytest.fixture
def home(first_home: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test that is not about a first start. Who owns what stays: PostgreSQL insists on it."""
    subprocess.run(["cp", "-a", str(first_home), str(tmp_path / "home")], check=True)
    return tmp_path / "home"
