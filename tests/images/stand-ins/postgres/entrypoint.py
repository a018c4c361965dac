"""What the official postgres image does at a start: its own user makes the cluster, once, and serves it."""

import os
import subprocess
import sys
from pathlib import Path

DATA = Path(os.environ["PGDATA"])
UID = 999


def secret(name: str) -> str:
    if file := os.environ.get(f"{name}_FILE"):
        return Path(file).read_text().strip()
    return os.environ[name]


def as_postgres(*words: str, **options: object) -> None:
    subprocess.run(words, check=True, user=UID, group=UID, extra_groups=[], **options)  # type: ignore[call-overload]


def main() -> None:
    DATA.mkdir(parents=True, exist_ok=True)
    for folder in (DATA, *DATA.parents[:2]):
        os.chown(folder, UID, UID)
    if not (DATA / "PG_VERSION").exists():
        user = os.environ.get("POSTGRES_USER", "postgres")
        password = Path("/tmp/password")
        password.touch(0o600)
        os.chown(password, UID, UID)
        password.write_text(secret("POSTGRES_PASSWORD"))
        as_postgres("initdb", "--username", user, f"--pwfile={password}", "--auth=scram-sha-256", "--pgdata", str(DATA))
        password.unlink()
        with (DATA / "pg_hba.conf").open("a") as file:
            file.write("host all all all scram-sha-256\nhost replication all all scram-sha-256\n")
        name = os.environ.get("POSTGRES_DB", user)
        if name != "postgres":
            single = ["postgres", "--single", "-D", str(DATA), "postgres"]
            as_postgres(*single, input=f'CREATE DATABASE "{name}" OWNER "{user}"\n'.encode(), stdout=subprocess.DEVNULL)
    os.setgroups([])
    os.setgid(UID)
    os.setuid(UID)
    words = [*sys.argv[1:], "-c", "listen_addresses=*", "-c", "unix_socket_directories=/tmp"]
    os.execvp(words[0], words)


main()
