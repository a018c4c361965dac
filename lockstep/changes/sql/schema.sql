-- The change log and the functions beside it. `migrate` executes all of it before the first migration of a database, and
-- again when it has changed (lockstep/install.py): every statement can be repeated. {schema} is the log's schema, as an
-- identifier; {retention_days} the setting.

-- name: uuid7
-- Time-ordered UUIDs on PostgreSQL 16 and 17 too (18 has uuidv7()): 48 bits of milliseconds over a random version 4,
-- with the version nibble set to 7.
CREATE OR REPLACE FUNCTION lockstep_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
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
CREATE SEQUENCE IF NOT EXISTS lockstep_change_seq AS bigint CACHE 1;
CREATE TABLE IF NOT EXISTS lockstep_change (
    seq       bigint      NOT NULL DEFAULT nextval('lockstep_change_seq'),
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
    traceparent text DEFAULT nullif(current_setting('lockstep.traceparent', true), ''),
    PRIMARY KEY (seq, at)
) PARTITION BY RANGE (at);
CREATE INDEX IF NOT EXISTS lockstep_change_window ON lockstep_change (xid, seq);
CREATE INDEX IF NOT EXISTS lockstep_change_history ON lockstep_change (object_id, seq);
-- Rows are stored here only when no worker made partitions for weeks: writes never fail.
CREATE TABLE IF NOT EXISTS lockstep_change_rest PARTITION OF lockstep_change DEFAULT;

-- name: append_only
-- Rows are never updated or deleted. Old changes are removed by dropping their partition. A statement that names a partition
-- fires the partition's own trigger: each has one (protection.py).
CREATE OR REPLACE FUNCTION lockstep_refuse_edit() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'The change log is append-only: % is refused.', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE OR REPLACE TRIGGER lockstep_change_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON lockstep_change
    FOR EACH STATEMENT EXECUTE FUNCTION lockstep_refuse_edit();
CREATE OR REPLACE TRIGGER lockstep_change_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON lockstep_change_rest
    FOR EACH STATEMENT EXECUTE FUNCTION lockstep_refuse_edit();

-- name: make_partitions
-- Makes the partitions for this week and the weeks ahead, by their Mondays in UTC. Weeks and not days: every reader of
-- the log opens all that there are, and with 45 of them the way from a commit to its handler takes 1.3 times as long as
-- with 15. Each is built beside the log and then attached, because ATTACH, unlike CREATE … PARTITION OF, does not wait
-- for writers or block them. A week whose rows are already in the default partition is left there.
-- Roles without ownership call it (protection.py): it makes a few weeks at most.
CREATE OR REPLACE FUNCTION lockstep_make_partitions(weeks_ahead int) RETURNS int LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    home text := (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'lockstep_change'::regclass);
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
        name := format('%s.%I', home, 'lockstep_change_' || to_char(monday, 'YYYYMMDD'));
        CONTINUE WHEN to_regclass(name) IS NOT NULL OR EXISTS (
            SELECT FROM lockstep_change_rest
            WHERE at >= monday::timestamp AT TIME ZONE 'UTC' AND at < (monday + 7)::timestamp AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TABLE %s (LIKE lockstep_change INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format('CREATE TRIGGER lockstep_change_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION lockstep_refuse_edit()', name);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER lockstep_change_append_only', name);
        EXECUTE format('ALTER TABLE lockstep_change ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', name,
                       monday::timestamp AT TIME ZONE 'UTC', (monday + 7)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
SELECT lockstep_make_partitions(2);

-- name: drop_week
-- Drops a partition of the log that is past retention. Roles without ownership call it, so the days are no parameter:
-- `migrate`, which the owner runs, writes the second function.
CREATE OR REPLACE FUNCTION lockstep_drop_week(week text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    days int := lockstep_retention_days();
    partition regclass;
    past timestamptz;
BEGIN
    SELECT child.oid, substring(pg_get_expr(child.relpartbound, child.oid) FROM 'TO \(''(.+)''\)')::timestamptz
    INTO partition, past
    FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = 'lockstep_change'::regclass AND child.relname = week;
    IF past > now() - make_interval(days => days) IS NOT FALSE THEN
        RAISE EXCEPTION '% is no week of the change log that ended more than % days ago.', week, days
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Where RETENTION_DAYS has become less, run `manage.py migrate`.';
    END IF;
    EXECUTE format('DROP TABLE %s', partition);
END $$;
CREATE OR REPLACE FUNCTION lockstep_retention_days() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT {retention_days}';

-- name: send
-- Writes a message for one subscription (delivery/sql/operations.sql). Roles that may not write the log call it
-- (protection.py), so a captured model is refused: only its triggers, whose source names it, write its changes.
CREATE OR REPLACE FUNCTION lockstep_send(model text, object_id text, after jsonb, origin text)
RETURNS TABLE (seq bigint, at timestamptz) LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (
        SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE p.proname LIKE 'lockstep\_capture\_%' AND strpos(p.prosrc, quote_literal($1)) > 0)
    THEN
        RAISE EXCEPTION '% is captured: only its triggers write its changes.', $1 USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY INSERT INTO lockstep_change AS c (model, object_id, kind, after, origin)
        VALUES ($1, $2, 'created', $3, $4) RETURNING c.seq, c.at;
END $$;

-- name: draw_token
-- A fencing token, the default of tables. Random, so that it is unique, even if a crash undoes the transaction that drew it.
CREATE OR REPLACE FUNCTION lockstep_draw_token() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT hashtextextended(gen_random_uuid()::text, 0)
$$;

-- name: new_place
-- The place of a new subscription, which gets all commits after this statement's snapshot. In plpgsql, because a function
-- in SQL needs the table when it is made.
CREATE OR REPLACE FUNCTION lockstep_new_place() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    made bigint;
BEGIN
    INSERT INTO lockstep_place (window_start) VALUES (pg_current_snapshot()) RETURNING id INTO made;
    RETURN made;
END $$;
