"""The tests in a container, by the line of docs/deployment.md."""

import re

from tests.images.engine import ROOT, Compose, Engine


def test_the_tests_run_by_one_line(engine: Engine):
    engine.build_ours("tests")
    compose = Compose(engine, "lockstep-tests", [ROOT / "compose.yaml"], {})
    with compose.removed():
        said = compose("run", "--rm", "--no-deps", "tests", "backend/posts", "-m", "not slow")
    assert re.search(r"\d+ passed", said)
