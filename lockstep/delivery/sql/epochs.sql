-- The epochs of the database: one for each cluster that it was in, and one for each timeline of that cluster, which
-- PostgreSQL begins when a replica is promoted or a backup is recovered. They are numbered, because a clock may step back.
-- Snapshots and transaction ids are valid in one cluster only: after a dump was restored into another one, the places of
-- the subscriptions must be rewritten before delivery continues. In a copy of a cluster they are as old as the log is.

-- name: timeline
-- The timeline, from the name of the present file of the write-ahead log. A standby has none of its own.
('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int

-- name: server_state
-- The state of the server: cluster, database, whether it is a standby, timeline, inserted and flushed write-ahead log,
-- clock.
SELECT system_identifier::text, (SELECT oid::bigint FROM pg_database WHERE datname = current_database()), in_recovery,
       CASE WHEN in_recovery THEN 0 ELSE {include timeline} END,
       CASE WHEN in_recovery THEN 0 ELSE pg_current_wal_insert_lsn() - '0/0'::pg_lsn END::bigint,
       CASE WHEN in_recovery THEN 0 ELSE pg_current_wal_flush_lsn() - '0/0'::pg_lsn END::bigint,
       clock_timestamp()
FROM pg_control_system(), pg_is_in_recovery() AS in_recovery;

-- name: begin_first
-- The first epoch. A concurrent second INSERT finds the number taken.
INSERT INTO lockstep_epoch (number, system_identifier, timeline)
SELECT 1, system_identifier::text, {include timeline}
FROM pg_control_system()
ON CONFLICT (number) DO NOTHING;

-- name: epochs
-- The id of the first epoch, and whether the latest one is of this cluster.
SELECT first.id, latest.system_identifier = (SELECT system_identifier::text FROM pg_control_system())
FROM (SELECT id FROM lockstep_epoch ORDER BY number LIMIT 1) AS first,
     (SELECT system_identifier FROM lockstep_epoch ORDER BY number DESC LIMIT 1) AS latest;

-- name: note_timeline
-- A new timeline begins a new epoch; nothing else changes. Returns a row for the first worker that notes it.
INSERT INTO lockstep_epoch (number, system_identifier, timeline, dropped)
SELECT latest.number + 1, latest.system_identifier, now.timeline, latest.dropped
FROM (SELECT * FROM lockstep_epoch ORDER BY number DESC LIMIT 1) AS latest,
     (SELECT {include timeline} AS timeline) AS now
WHERE latest.timeline <> now.timeline
ON CONFLICT (number) DO NOTHING
RETURNING timeline;

-- name: lock
-- Writers wait until the transaction ends.
LOCK TABLE lockstep_change, lockstep_subscription, lockstep_place IN SHARE ROW EXCLUSIVE MODE;

-- name: mark_native
-- Rows of the log that were written in this cluster after the restore. A restore makes the indexes of a table after all of
-- its rows: rows newer than the oldest index were not restored. By partition, because several processes restore them in
-- parallel. REINDEX makes new indexes, so the oldest catalogue row of each counts. Where only rows were restored, into
-- existing tables, all of them are newer, and are sent once too often.
CREATE TEMPORARY TABLE native ON COMMIT DROP AS
SELECT c.seq
FROM lockstep_change c
JOIN (
    SELECT i.indrelid AS partition, max(greatest(age(i.xmin), age(k.xmin), age(a.xmin))) AS age
    FROM pg_index i JOIN pg_class k ON k.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = i.indexrelid
    GROUP BY i.indrelid
) AS indexes ON indexes.partition = c.tableoid
WHERE age(c.xmin) < indexes.age;

-- name: preview
-- Subscriptions and how many changes would be sent to each, again or for the first time.
SELECT s.name, count(c.seq)
FROM lockstep_subscription s JOIN lockstep_place place ON place.id = s.place_id
LEFT JOIN lockstep_change c ON lockstep_followed(s.follows, c.model, c.kind)
    AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
    AND s.state <> 'disabled' AND (c.seq IN (SELECT seq FROM native) OR {include pending})
GROUP BY s.name ORDER BY s.name;

-- name: pending
-- Whether the old epoch had not fanned out a change, by its own snapshots.
NOT lockstep_is_placed(place, c.xid, c.seq)

-- name: place
-- Puts these changes into the lanes of every subscription.
WITH wanted AS MATERIALIZED (
    SELECT s.name, c.model, c.object_id, c.seq, c.at
    FROM lockstep_subscription s JOIN lockstep_place place ON place.id = s.place_id
    JOIN lockstep_change c ON lockstep_followed(s.follows, c.model, c.kind)
        AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
    WHERE s.state <> 'disabled' AND (c.seq IN (SELECT seq FROM native) OR {include pending})
), lane AS (
    INSERT INTO lockstep_lane (subscription_id, model, object_id)
    SELECT DISTINCT name, model, object_id FROM wanted
    ON CONFLICT (subscription_id, model, object_id) DO UPDATE SET token = lockstep_lane.token
    RETURNING id, subscription_id, model, object_id
)
INSERT INTO lockstep_delivery (lane_id, seq, at)
SELECT lane.id, wanted.seq, wanted.at
FROM wanted JOIN lane ON (lane.subscription_id, lane.model, lane.object_id) = (wanted.name, wanted.model, wanted.object_id)
ON CONFLICT DO NOTHING;

-- name: start_windows
-- Everything in the log is in lanes or delivered: the next window begins here.
UPDATE lockstep_place
SET window_start = pg_current_snapshot(), window_end = NULL, window_seq = NULL, window_last = NULL,
    token = lockstep_draw_token();

-- name: forget_transactions
-- Ids of the old epoch could be assigned again; the lowest possible one is visible in every snapshot.
ALTER TABLE lockstep_change DISABLE TRIGGER lockstep_change_append_only;
UPDATE lockstep_change SET xid = '3' WHERE seq NOT IN (SELECT seq FROM native);
ALTER TABLE lockstep_change ENABLE ALWAYS TRIGGER lockstep_change_append_only;

-- name: begin
INSERT INTO lockstep_epoch (number, system_identifier, timeline)
SELECT (SELECT max(number) + 1 FROM lockstep_epoch), system_identifier::text, {include timeline}
FROM pg_control_system();
