"""Makes the role and the database that tests are run with, on a PostgreSQL of your own.

SUPERUSER_URL   how its superuser connects
DATABASE_URL    what is made: the role with its password, and the database
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from devstack.launcher import cluster


def main() -> int:
    """The exit code; what is there already stays as it is, and is an error."""
    made = urlsplit(os.environ["DATABASE_URL"])
    if (made.username, made.path) != (cluster.ROLE, f"/{cluster.DATABASE}") or not made.password:
        sys.stderr.write(f"DATABASE_URL must be postgresql://{cluster.ROLE}:PASSWORD@…/{cluster.DATABASE}\n")
        return 1
    with psycopg.connect(os.environ["SUPERUSER_URL"], autocommit=True) as connection:
        for statement in cluster.creation(made.password, durable=False):
            connection.execute(statement)  # type: ignore[call-overload]
    return 0


if __name__ == "__main__":
    sys.exit(main())
