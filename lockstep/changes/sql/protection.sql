-- Finds and repairs ways to bypass the log: see protection.py.

-- name: functions
-- Functions of the log's schema by their names: source, language, whether they run with their owner's rights, the settings
-- that they run with, their owner, and whether roles other than the owner may call them.
SELECT p.proname, p.oid::regprocedure::text, p.prosrc, l.lanname, p.prosecdef, coalesce(p.proconfig, '{}'),
       p.proowner::regrole::text,
       EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS acl WHERE acl.grantee = 0)
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = %(schema)s::regnamespace AND p.proname = ANY (%(names)s);

-- name: triggers
-- Triggers of the log's schema: table, name, comment, whether it is enabled, definition, function.
SELECT c.relname, t.tgname, obj_description(t.oid, 'pg_trigger'), t.tgenabled::text, pg_get_triggerdef(t.oid), p.proname,
       p.pronamespace = c.relnamespace
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE c.relnamespace = %(schema)s::regnamespace AND NOT t.tgisinternal;

-- name: definitions
-- PostgreSQL's definitions of the declared triggers, which were made on temporary tables.
SELECT t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = pg_my_temp_schema() AND c.relname LIKE 'lockstep\_expected\_%';

-- name: can_have_temporary_tables
SELECT has_database_privilege(current_database(), 'TEMPORARY') AND NOT pg_is_in_recovery();

-- name: unguarded
-- Tables of the log, itself among them, that do not refuse all of UPDATE (16), DELETE (8) and TRUNCATE (32), before (2), for
-- a statement (not 1), in every session, by our function.
SELECT c.relname
FROM pg_partition_tree('lockstep_change') AS part JOIN pg_class c ON c.oid = part.relid
WHERE NOT EXISTS (
    SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = c.oid AND t.tgname = 'lockstep_change_append_only' AND t.tgenabled = 'A'
      AND t.tgtype = 16 + 8 + 32 + 2 AND t.tgqual IS NULL AND t.tgattr = ''
      AND p.proname = 'lockstep_refuse_edit' AND p.pronamespace = c.relnamespace)
ORDER BY 1;

-- name: guard
-- Refuses edits of one table of the log.
CREATE OR REPLACE TRIGGER lockstep_change_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION lockstep_refuse_edit();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER lockstep_change_append_only;

-- name: writers
-- Roles other than the owner, its members and superusers that may write the log, a partition of it or its numbers, or put
-- triggers on it.
SELECT r.name, array_agg(DISTINCT c.relname ORDER BY c.relname)
FROM (
    SELECT rolname::text AS name FROM pg_roles
    WHERE NOT rolsuper AND rolname NOT LIKE 'pg\_%%' AND NOT pg_has_role(oid, %(owner)s::regrole, 'MEMBER')
    UNION ALL SELECT 'public'
) AS r
CROSS JOIN (
    SELECT relid AS oid FROM pg_partition_tree('lockstep_change')
    UNION ALL SELECT 'lockstep_change_seq'::regclass
) AS log
JOIN pg_class c ON c.oid = log.oid
WHERE CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(r.name, c.oid, 'USAGE, UPDATE')
      ELSE has_any_column_privilege(r.name, c.oid, 'INSERT, UPDATE')
           OR has_table_privilege(r.name, c.oid, 'DELETE, TRUNCATE, TRIGGER') END
GROUP BY 1 ORDER BY 1;

-- name: trigger_makers
-- Roles other than these that may create triggers on our tables, which run with the writer's rights.
SELECT r.name, c.relname
FROM (
    SELECT rolname::text AS name FROM pg_roles
    WHERE NOT rolsuper AND rolname NOT LIKE 'pg\_%%' AND NOT pg_has_role(oid, %(owner)s::regrole, 'MEMBER')
    UNION ALL SELECT 'public'
) AS r
JOIN pg_class c ON c.oid = ANY (ARRAY(SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS name))
WHERE has_table_privilege(r.name, c.oid, 'TRIGGER')
ORDER BY 1, 2;

-- name: ignorable
-- Whether a session could disable pgtrigger's triggers: its own function reads a setting, and is volatile.
SELECT EXISTS (SELECT FROM pg_proc WHERE oid = to_regproc('public._pgtrigger_should_ignore') AND provolatile <> 'i');

-- name: ignore_nothing
CREATE OR REPLACE FUNCTION public._pgtrigger_should_ignore(trigger_name name) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT false';

-- name: retention_days
-- The function's source; no row in a database that is not migrated yet.
SELECT prosrc FROM pg_proc WHERE oid = to_regproc('lockstep_retention_days');

-- name: set_retention_days
CREATE OR REPLACE FUNCTION {schema}.lockstep_retention_days() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT {days}';

-- name: role
-- Why a role could bypass the log; no row where there is no such role.
SELECT CASE WHEN rolsuper THEN 'is a superuser'
            WHEN pg_has_role(oid, %(owner)s::regrole, 'MEMBER') THEN 'is, or can become, the owner of the tables' END
FROM pg_roles WHERE rolname = %(role)s;

-- name: relations
-- Tables and sequences of the log's owner beside the log: name, whether it is a sequence.
SELECT c.oid::regclass::text, c.relkind = 'S'
FROM pg_class c
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relowner = %(owner)s::regrole AND c.relkind IN ('r', 'p', 'v', 'S')
  AND c.oid <> ALL (ARRAY(SELECT relid FROM pg_partition_tree('lockstep_change')))
  AND c.oid <> 'lockstep_change_seq'::regclass AND c.relname <> 'django_migrations'
ORDER BY 1;

-- name: read_only
SELECT relid::regclass::text FROM pg_partition_tree('lockstep_change')
UNION ALL SELECT oid::regclass::text FROM pg_class WHERE oid = to_regclass('django_migrations');

-- name: grant
-- The rights of web and worker: to read and write rows, to set sequences (an import does), and only to read the log, also
-- the partitions that are made later.
REVOKE ALL ON TABLE {tables}, {read_only} FROM {role};
REVOKE ALL ON SEQUENCE {sequences}, lockstep_change_seq FROM {role};
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {role};
GRANT USAGE, SELECT, UPDATE ON SEQUENCE {sequences} TO {role};
GRANT SELECT ON {read_only} TO {role};
ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {role};
GRANT EXECUTE ON FUNCTION lockstep_make_partitions(int) TO {role};
GRANT EXECUTE ON FUNCTION lockstep_drop_week(text) TO {role};
GRANT EXECUTE ON FUNCTION lockstep_send(text, text, jsonb, text) TO {role};

-- name: can_grant
-- Whether the database is migrated so far.
SELECT to_regproc('lockstep_send') IS NOT NULL;

-- name: enable_always
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name};

-- name: isolate_function
-- Makes a function independent of the rights and the settings of the session that writes.
ALTER FUNCTION {signature} SECURITY DEFINER RESET ALL;
ALTER FUNCTION {signature} SET search_path = {path};

-- name: copy_table
CREATE TEMPORARY TABLE {copy} (LIKE {table});

-- name: copy_trigger
-- A trigger of pgtrigger's on a copy of its table, with a function that every role may use.
CREATE {constraint} TRIGGER {name} {when} {operation} ON pg_temp.{copy} {timing} {referencing}
    FOR EACH {level} {condition} EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger();

-- name: drop_copied_trigger
DROP TRIGGER {name} ON pg_temp.{copy};
