-- The change log and the functions beside it. Run once by the first migration.

-- name: uuid7
-- Time-ordered UUIDs on PostgreSQL 16 and 17 too (18 has uuidv7()): 48 bits of milliseconds over a random version 4,
-- with the version nibble set to 7.
CREATE FUNCTION lockstep_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                    FROM 1 FOR 6),
            52, 1), 53, 1), 'hex')::uuid
$$;

-- name: change_log
-- Append-only and partitioned by time. `seq` orders the changes of one object, because a writer holds the object's
-- row lock when it draws its number; across objects it is not the order of commits. `xid` is the writer's transaction,
-- which is what the relay reads by (see delivery/sql/relay.sql).
CREATE SEQUENCE changes_change_seq AS bigint CACHE 1;
CREATE TABLE changes_change (
    seq       bigint      NOT NULL DEFAULT nextval('changes_change_seq'),
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid       xid8        NOT NULL DEFAULT pg_current_xact_id(),
    model     text        NOT NULL,
    object_id text        NOT NULL,
    kind      text        NOT NULL CHECK (kind IN ('created', 'updated', 'deleted')),
    before    jsonb,
    after     jsonb,
    actor     text DEFAULT nullif(current_setting('lockstep.actor', true), ''),
    origin    text DEFAULT nullif(current_setting('lockstep.origin', true), ''),
    trace     text DEFAULT nullif(current_setting('lockstep.trace', true), ''),
    PRIMARY KEY (seq, at)
) PARTITION BY RANGE (at);
CREATE INDEX changes_change_window ON changes_change (xid, seq);
CREATE INDEX changes_change_history ON changes_change (object_id, seq);
-- Rows land here only when no worker made partitions for weeks: a writer is never turned away.
CREATE TABLE changes_change_rest PARTITION OF changes_change DEFAULT;

-- name: append_only
-- What is written stays as it is. Old changes go by dropping their partition. A statement that names a partition fires the
-- partition's own trigger: each has one. (protection.py)
CREATE OR REPLACE FUNCTION changes_refuse_edit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The change log is append-only: % is refused.', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE OR REPLACE TRIGGER changes_change_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON changes_change
    FOR EACH STATEMENT EXECUTE FUNCTION changes_refuse_edit();
CREATE OR REPLACE TRIGGER changes_change_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON changes_change_rest
    FOR EACH STATEMENT EXECUTE FUNCTION changes_refuse_edit();

-- name: make_partitions
-- Makes the partitions for this week and the weeks ahead, by their Mondays in UTC. Weeks and not days: every reader of
-- the log opens all that there are, and with 45 of them the way from a commit to its handler takes 1.3 times as long as
-- with 15. Each is built beside the log and then attached, because ATTACH, unlike CREATE … PARTITION OF, does not wait
-- for the writers or hold them up. A week whose rows already lie in the default partition is left there.
-- Roles that own nothing call it (protection.py): it does no more than a few weeks.
CREATE OR REPLACE FUNCTION changes_make_partitions(weeks_ahead int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    home text := (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'changes_change'::regclass);
    monday date;
    name text;
    made int := 0;
BEGIN
    IF weeks_ahead NOT BETWEEN 0 AND 8 THEN
        RAISE EXCEPTION 'Partitions are made for 0 to 8 weeks ahead, not for %.', weeks_ahead
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR monday IN SELECT date_trunc('week', now() AT TIME ZONE 'UTC')::date + 7 * n FROM generate_series(0, weeks_ahead) AS n
    LOOP
        name := format('%s.%I', home, 'changes_change_' || to_char(monday, 'YYYYMMDD'));
        CONTINUE WHEN to_regclass(name) IS NOT NULL OR EXISTS (
            SELECT FROM changes_change_rest
            WHERE at >= monday::timestamp AT TIME ZONE 'UTC' AND at < (monday + 7)::timestamp AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TABLE %s (LIKE changes_change INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format('CREATE TRIGGER changes_change_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION changes_refuse_edit()', name);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER changes_change_append_only', name);
        EXECUTE format('ALTER TABLE changes_change ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', name,
                       monday::timestamp AT TIME ZONE 'UTC', (monday + 7)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
SELECT changes_make_partitions(2);

-- name: drop_week
-- Drops a partition of the log that is past retention. Roles that own nothing call it, so the days are not theirs to say:
-- the owner's `migrate` writes the second function anew (protection.py).
CREATE OR REPLACE FUNCTION changes_drop_week(week text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    days int := changes_retention_days();
    partition regclass;
    past timestamptz;
BEGIN
    SELECT child.oid, substring(pg_get_expr(child.relpartbound, child.oid) FROM 'TO \(''(.+)''\)')::timestamptz
    INTO partition, past
    FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = 'changes_change'::regclass AND child.relname = week;
    IF past > now() - make_interval(days => days) IS NOT FALSE THEN
        RAISE EXCEPTION '% is no week of the change log that ended more than % days ago.', week, days
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Where CHANGE_LOG_RETENTION_DAYS has become less, run `manage.py migrate`.';
    END IF;
    EXECUTE format('DROP TABLE %s', partition);
END $$;
CREATE OR REPLACE FUNCTION changes_retention_days() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 36500';

-- name: send
-- Writes what no model changed, for one subscriber alone (delivery/sql/operations.sql). Roles that may not write the log call
-- it (protection.py), so a model that is captured is refused: of that only its triggers write, whose source names it.
CREATE OR REPLACE FUNCTION changes_send(model text, object_id text, after jsonb, origin text)
RETURNS TABLE (seq bigint, at timestamptz) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (
        SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE p.proname LIKE 'pgtrigger\_capture\_%' AND strpos(p.prosrc, quote_literal($1)) > 0)
    THEN
        RAISE EXCEPTION '% is captured: only its triggers write its changes.', $1 USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY INSERT INTO changes_change AS c (model, object_id, kind, after, origin)
        VALUES ($1, $2, 'created', $3, $4) RETURNING c.seq, c.at;
END $$;
