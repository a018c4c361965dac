"""What the tests of this folder share."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for PostgreSQL's data, which its account may pass through, also when we are root.

    Not below pytest's own, which each run of pytest by the same user closes to others again, under those that go on.
    """
    with TemporaryDirectory(prefix="lockstep-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
