"""Where peers' workers write down when a task reached them, for the process that measures."""

import os
import time
from pathlib import Path

PLACE = "BENCH_STAMPS"


def stamp(title: str) -> None:
    """One short line, which the system appends atomically."""
    line = f"{title} {time.time()}\n".encode()
    file = os.open(os.environ[PLACE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)


def stamps(file: Path) -> dict[str, float]:
    """When each title was written down."""
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return {title: float(moment) for title, moment in lines}
