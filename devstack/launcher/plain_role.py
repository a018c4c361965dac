"""Clusters of earlier versions: the role that everything connects as was their superuser, and is made a plain one.

The superuser that initdb made cannot be demoted, and one command does not give away what it owns: it gets another name
and no password, and a plain role with its old name and password takes over the database. All in one transaction.
"""

from devstack.launcher.cluster import DATABASE, ROLE, ROLE_OPTIONS, SUPERUSER

HELPER = f"{ROLE}_demotion"
STATEMENTS = f"""
CREATE ROLE {HELPER} SUPERUSER;
SET LOCAL SESSION AUTHORIZATION {HELPER};
ALTER ROLE {ROLE} RENAME TO {SUPERUSER};
ALTER ROLE {SUPERUSER} PASSWORD NULL;
CREATE ROLE {ROLE} {ROLE_OPTIONS} PASSWORD {{password}};
DO $$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT format('ALTER DATABASE %I OWNER TO {ROLE}', datname) FROM pg_database
        WHERE datdba = 10 AND datname <> 'postgres' AND NOT datistemplate
        UNION ALL
        SELECT format('ALTER SCHEMA %I OWNER TO {ROLE}', nspname) FROM pg_namespace
        WHERE nspowner = 10 AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
        UNION ALL
        SELECT format('ALTER TABLE %s OWNER TO {ROLE}', c.oid::regclass)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relowner = 10 AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
          AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i')))
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO {ROLE}', p.oid::regprocedure)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.proowner = 10 AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                          AND d.deptype = 'e')
    LOOP
        EXECUTE command;
    END LOOP;
END $$;
RESET SESSION AUTHORIZATION;
DROP ROLE {HELPER};
"""  # noqa: S608 - names of ours


def demote(url: str, password: str) -> bool:
    """Makes the role of this address a plain one, where it is the cluster's first superuser. Whether it was."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(url, dbname=DATABASE) as connection:
        row = connection.execute("SELECT oid = 10 FROM pg_roles WHERE rolname = current_user").fetchone()
        is_first_superuser = bool(row and row[0])
        if is_first_superuser:
            connection.execute(sql.SQL(STATEMENTS).format(password=sql.Literal(password)))
    return is_first_superuser
