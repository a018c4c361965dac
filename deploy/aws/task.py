"""Runs one command in the stack's network, and ends as it ended: `python3 deploy/aws/task.py migrate --no-input`.

    python3 deploy/aws/task.py [WORD …]     the words of `python -m backend`; without any, migrate

It needs the command `aws`, and prints what the command wrote once it has ended.

STACK   the stack's name (lockstep)
AWS     the program (aws)
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

AWS = shlex.split(os.environ.get("AWS", "aws"))
STACK = os.environ.get("STACK", "lockstep")
CONTAINER = "command"  # its name in stack.yaml


class Failed(Exception):
    """A call of AWS failed, or the task did not start; the text says what happened."""


def main(words: Sequence[str]) -> int:
    """The exit code of the command; 1 where it never ran."""
    try:
        task = start(words or ["migrate"])
        sys.stdout.write(f"{task}\n")
        sys.stdout.flush()
        found = when_stopped(task)
        write_log(task)
        return exit_code(found)
    except Failed as error:
        sys.stderr.write(f"{error}\n")
        return 1


def start(words: Sequence[str]) -> str:
    """Starts the task and returns its ARN."""
    stack = aws("cloudformation", "describe-stacks", "--stack-name", STACK)["Stacks"][0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    place = {"subnets": outputs["Subnets"].split(","), "securityGroups": [outputs["SecurityGroup"]]}
    overrides = {"containerOverrides": [{"name": CONTAINER, "command": list(words)}]}
    answer = aws(
        *("ecs", "run-task", "--cluster", STACK, "--task-definition", f"{STACK}-command", "--launch-type", "FARGATE"),
        *("--network-configuration", json.dumps({"awsvpcConfiguration": {**place, "assignPublicIp": "DISABLED"}})),
        *("--overrides", json.dumps(overrides)),
    )
    if answer["failures"]:
        raise Failed(f"The task did not start: {json.dumps(answer['failures'])}")
    return str(answer["tasks"][0]["taskArn"])


def when_stopped(task: str) -> dict[str, Any]:
    """What AWS says of the task once it has stopped, however long that takes."""
    while True:
        with suppress(Failed):  # `aws` waits for ten minutes at most
            aws("ecs", "wait", "tasks-stopped", "--cluster", STACK, "--tasks", task)
        [found] = aws("ecs", "describe-tasks", "--cluster", STACK, "--tasks", task)["tasks"]
        if found["lastStatus"] == "STOPPED":
            return dict(found)


def write_log(task: str) -> None:
    """Prints what the command wrote; a task that never started has no log."""
    stream = f"command/{CONTAINER}/{task.rpartition('/')[2]}"
    words = ["logs", "get-log-events", "--log-group-name", f"/{STACK}/command", "--log-stream-name", stream]
    try:
        events = aws(*words, "--start-from-head")["events"]
    except Failed:
        return
    sys.stdout.writelines(f"{event['message']}\n" for event in events)
    sys.stdout.flush()


def exit_code(found: dict[str, Any]) -> int:
    """That of the command. Raises Failed where there is none, because the container never ran."""
    [container] = [one for one in found["containers"] if one["name"] == CONTAINER]
    if "exitCode" not in container:
        raise Failed(f"The command has no exit code: {container.get('reason') or found.get('stoppedReason')}")
    return int(container["exitCode"])


def aws(*words: str) -> Any:  # noqa: ANN401 - as it comes from AWS
    """What `aws` answered. Raises Failed with what it said."""
    done = subprocess.run([*AWS, *words, "--output", "json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{shlex.join(words[:2])}: {done.stderr.strip()}")
    return json.loads(done.stdout) if done.stdout.strip() else {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
