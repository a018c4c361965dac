"""The cluster that test servers are copies of: initdb and all migrations run once for each state of the schema.

It is kept below FOLDER, under a digest of everything that a schema is made of. Its database `lockstep` is migrated and
never connected to, so that it can be copied further with CREATE DATABASE … TEMPLATE; `test_lockstep`, the name that
Django gives its test database, is the one that tests work in.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.launcher import account, cluster
from devstack.launcher.environment import ROOT
from devstack.launcher.errors import PreparationFailed
from devstack.launcher.postgres import Server

FOLDER = ROOT / ".lockstep" / "test-template"
TEST_DATABASE = f"test_{cluster.DATABASE}"
# Whatever a migration executes or imports (a test holds the imports against this list), and the versions of PostgreSQL,
# of Django and of the apps that bring migrations of their own.
SCHEMA = (
    "uv.lock",
    "devstack/launcher/template.py",
    "devstack/launcher/cluster.py",
    "backend/config/settings.py",
    "lockstep/*.py",
    "lockstep/changes/*.py",
    "backend/entities/*.py",
    *(f"{top}/**/{files}" for top in ("lockstep", "backend") for files in ("models.py", "migrations/*.py", "*.sql")),
)


def digest(root: Path = ROOT) -> str:
    """Of the names and contents of all files that make the schema."""
    found = hashlib.sha256()
    for path in sorted({path for pattern in SCHEMA for path in root.glob(pattern)}):
        content = path.read_bytes()
        found.update(f"{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:20]


def copy_to(*targets: Path) -> None:
    """A cluster at each of these paths, ready to be started by `Server(…, durable=False)`."""
    folder = _keepable(targets[0].parent)
    with _alone_in(folder):
        template = folder / f"{digest()}-{os.geteuid()}"
        if not template.exists():
            _build(template)
            _remove_others(template)
        for target in targets:
            # Who owns what stays: PostgreSQL insists on it.
            subprocess.run(["cp", "-a", str(template), str(target)], check=True)


def _keepable(otherwise: Path) -> Path:
    """FOLDER, or the other one where this user may not write there: then the template lasts for one command."""
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
    except OSError:
        return otherwise
    return FOLDER if os.access(FOLDER, os.W_OK | os.X_OK) else otherwise


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two commands at once: the second waits for the template that the first builds."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _build(template: Path) -> None:
    """It appears when all is done and written to the disk, or never."""
    sys.stderr.write("Migrating a database for the tests; the next runs copy it …\n")
    staging = Path(tempfile.mkdtemp(prefix="new-", dir=template.parent))
    staging.chmod(0o711)  # PostgreSQL's account passes through it when we are root
    try:
        server = Server(staging / "postgres", durable=False)
        with server:
            _migrate(server.url)
            _copy_database(server.url)
        cluster.sync(server.folder, account.for_postgres(server.folder, cluster.program("initdb")))
        server.folder.rename(template)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _migrate(url: str) -> None:
    settings = {"DEBUG": "true", "SECRET_KEY": secrets.token_urlsafe(50), **os.environ, "DATABASE_URL": url}
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0", "--no-input"]
    if subprocess.run(command, cwd=ROOT, env=settings, check=False).returncode:
        raise PreparationFailed


def _copy_database(url: str) -> None:
    import psycopg

    with psycopg.connect(f"{url.rpartition('/')[0]}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEST_DATABASE} TEMPLATE {cluster.DATABASE}")


def _remove_others(template: Path) -> None:
    """Of older schemas, and what interrupted builds left; never another user's, which this one may not touch."""
    for other in template.parent.iterdir():
        is_ours = other.name.endswith(f"-{os.geteuid()}") or other.name.startswith("new-")
        if other != template and other.is_dir() and is_ours:
            shutil.rmtree(other, ignore_errors=True)
