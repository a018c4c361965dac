import os
import subprocess
import sys

import pytest

SPEAK = """
from devstack.launcher.output import Output
output = Output()
for number in range({count}):
    output.line("web", "x" * 300 + str(number))
output.say("done")
output.flush()
"""


def test_a_long_line_stays_one_line_out_of_a_pipe():
    command = [sys.executable, "-c", SPEAK.format(count=1)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "40"})
    assert result.stdout.splitlines() == [f"web      │ {'x' * 300}0", "lockstep │ done"]


@pytest.mark.slow
def test_output_without_a_reader_does_not_block():
    with subprocess.Popen([sys.executable, "-c", SPEAK.format(count=20_000)], stdout=subprocess.PIPE) as process:
        assert process.wait(300) == 0  # it would wait for ever


@pytest.mark.slow
def test_a_closed_reader_is_no_error():
    command = f"{sys.executable} -c '{SPEAK.format(count=3000)}' | head -1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "0"
    assert result.stderr == ""
