-- The statements of lockstep/install.py.

-- name: schema
-- The schema of the change log; where there is none, the one in which it will be made.
SELECT coalesce((SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('lockstep_change')),
                quote_ident(current_schema()));

-- name: comment
-- The comment of a table; NULL where there is no table or no comment.
SELECT obj_description(to_regclass(%s), 'pg_class');

-- name: uninstall
-- Drops the log and every function of the engine in its schema. Tables of models are dropped before.
DO $$
DECLARE
    home text := (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('lockstep_change'));
    signature text;
BEGIN
    IF home IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('DROP TABLE %s.lockstep_change', home);
    EXECUTE format('DROP SEQUENCE %s.lockstep_change_seq', home);
    FOR signature IN
        SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = home::regnamespace AND proname = ANY ('{lockstep_uuid7, lockstep_refuse_edit,
            lockstep_make_partitions, lockstep_drop_week, lockstep_retention_days, lockstep_send, lockstep_draw_token,
            lockstep_new_place, lockstep_patterns, lockstep_followed, lockstep_is_placed, lockstep_unplaced}')
    LOOP
        EXECUTE format('DROP FUNCTION %s', signature);
    END LOOP;
END $$;

-- name: empty_log
-- Truncates the partitions that have rows, while their triggers, which refuse it, are disabled.
DO $$
DECLARE
    part regclass;
    is_used boolean;
BEGIN
    FOR part IN SELECT relid FROM pg_partition_tree('lockstep_change') WHERE isleaf LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', part) INTO is_used;
        CONTINUE WHEN NOT is_used;
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER lockstep_change_append_only', part);
        EXECUTE format('TRUNCATE %s', part);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER lockstep_change_append_only', part);
    END LOOP;
END $$;

-- name: set_comment
COMMENT ON TABLE {table} IS {comment};

-- name: exists
SELECT to_regclass(%s) IS NOT NULL;

-- name: existing_functions
-- Those of these names that there are.
SELECT name FROM unnest(%s::text[]) AS name WHERE to_regproc(quote_ident(name)) IS NOT NULL;

-- name: drop_function
-- Drops the function of a trigger, which stays when the trigger's table is dropped.
DROP FUNCTION IF EXISTS {function}();

-- name: drop_table
DROP TABLE {table} CASCADE;
