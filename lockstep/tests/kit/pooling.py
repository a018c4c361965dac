"""pgbouncer in front of the test server."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from .ports import free_port
from .servers import database_url
from .waiting import eventually


@contextmanager
def pgbouncer(folder: Path, mode: str) -> Iterator[str]:
    """pgbouncer in this mode; the test database's address by way of it."""
    own = conninfo_to_dict(database_url())
    port, program = free_port(), shutil.which("pgbouncer")
    assert program
    folder.chmod(0o755)
    (folder / "users.txt").write_text(f'"{own["user"]}" "{own["password"]}"\n')
    (folder / "pgbouncer.ini").write_text(f"""
        [databases]
        * = host=127.0.0.1 port={own["port"]}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = plain
        auth_file = {folder}/users.txt
        pool_mode = {mode}
        default_pool_size = 60
    """)
    # As root it refuses to run; `home` lets another account pass.
    options: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen([program, str(folder / "pgbouncer.ini")], stdout=log, stderr=log, **options)
    try:
        url = f"postgresql://{own['user']}:{own['password']}@127.0.0.1:{port}/{own['dbname']}"
        eventually(lambda: answers(url, process), "pgbouncer to answer")
        yield url
    finally:
        process.kill()
        process.wait()


def answers(url: str, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "pgbouncer ended; its log is in the test's folder"
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
