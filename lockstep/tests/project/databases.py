"""Databases that a test makes and drops."""

import psycopg

OWN_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user"


def drop_database(server: psycopg.Connection, name: str) -> None:
    """Ends this role's sessions in it first.

    WITH (FORCE) is refused while autovacuum, which is a superuser's, is at work there; without it PostgreSQL ends
    autovacuum by itself, and waits for others.
    """
    server.execute(OWN_SESSIONS, [name])
    server.execute(f"DROP DATABASE IF EXISTS {name}")
