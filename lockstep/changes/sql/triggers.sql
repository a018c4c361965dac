-- Capture triggers in the catalogue (triggers.py). Identifiers are qualified, in the form of format('%I.%I').

-- name: log
-- The schema of the change log and its owner, as identifiers; no row where there is no log.
SELECT relnamespace::regnamespace::text, relowner::regrole::text FROM pg_class WHERE oid = to_regclass('lockstep_change');

-- name: tables
-- The existing ones of these tables: the name in the parameter, the identifier, and the columns.
SELECT name, format('%%I.%%I', n.nspname, c.relname), array_agg(a.attname::text)
FROM unnest(%s::text[]) AS name
JOIN pg_class c ON c.oid = to_regclass(name)
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY name, n.nspname, c.relname;

-- name: installed
-- Capture triggers that write to this log: table, name, function, whether they are enabled, and what fires them: type (bits:
-- 1 row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate), old and new table, whether it is for all columns and rows.
SELECT format('%I.%I', n.nspname, c.relname), t.tgname::text, format('%I.%I', f.nspname, p.proname), t.tgenabled::text,
       concat_ws(' ', t.tgtype, t.tgoldtable, t.tgnewtable, t.tgattr = '' AND t.tgqual IS NULL)
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid
JOIN pg_namespace f ON f.oid = p.pronamespace
WHERE t.tgname LIKE 'lockstep\_capture\_%' AND NOT t.tgisinternal AND t.tgparentid = 0
  AND p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('lockstep_change'));

-- name: functions
-- The triggers' functions: source, whether they run with their owner's rights, settings, owner, and whether roles other than
-- the owner may call them.
SELECT format('%I.%I', n.nspname, p.proname), p.prosrc, p.prosecdef, coalesce(p.proconfig, '{}'),
       p.proowner::regrole::text,
       EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS acl WHERE acl.grantee = 0)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname LIKE 'lockstep\_capture\_%'
  AND p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('lockstep_change'));

-- name: function_source
-- The source of a trigger's function; {body} is of capture.sql.
BEGIN
{body};
RETURN NULL;
END

-- name: create_function
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = {path} {settings}
AS $lockstep$
{source}
$lockstep$;
REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;

-- name: create_trigger
CREATE OR REPLACE TRIGGER {name} {event} FOR EACH STATEMENT EXECUTE FUNCTION {function}();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name};

-- name: drop_trigger
DROP TRIGGER {name} ON {table};

-- name: drop_function
DROP FUNCTION {function}();

-- name: own_function
ALTER FUNCTION {signature} OWNER TO {owner};
REVOKE ALL ON FUNCTION {signature} FROM PUBLIC;

-- name: utc
-- The logged value of a time. to_char cannot show infinity and years before Christ.
CASE WHEN {column} >= '0001-01-01Z' AND {column} < 'infinity'
     THEN to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ELSE {column}::text END
