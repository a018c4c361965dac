-- The lives of the database: one for each cluster that it lived in, and one for each of that cluster's timelines, which
-- PostgreSQL begins when a replica is promoted or a backup is recovered. They are numbered, because a clock may step back.
-- Snapshots and transaction ids mean something in one cluster alone: after a dump was restored into another one, the places
-- of the subscriptions must be written anew before anything goes on. In a copy of a cluster they are as old as the log is.

-- name: life
-- Where the database is, and when: its cluster, which of its databases, whether that is a standby, its timeline, how far its write-ahead log has
-- come, how much of that no crash takes back, its clock. PostgreSQL tells the timeline by the name of a file of that log; a
-- standby has none of its own yet.
SELECT system_identifier::text, (SELECT oid::bigint FROM pg_database WHERE datname = current_database()), in_recovery,
       CASE WHEN in_recovery THEN 0 ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
       CASE WHEN in_recovery THEN 0 ELSE pg_current_wal_insert_lsn() - '0/0'::pg_lsn END::bigint,
       CASE WHEN in_recovery THEN 0 ELSE pg_current_wal_flush_lsn() - '0/0'::pg_lsn END::bigint,
       clock_timestamp()
FROM pg_control_system(), pg_is_in_recovery() AS in_recovery;

-- name: begin_first
-- Made on the first day. Whoever comes second finds the number taken.
INSERT INTO delivery_epoch (number, system_identifier, timeline)
SELECT 1, system_identifier::text,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
FROM pg_control_system()
ON CONFLICT (number) DO NOTHING;

-- name: epochs
-- The id of the first life, and whether the latest one is of this cluster.
SELECT first.id, latest.system_identifier = (SELECT system_identifier::text FROM pg_control_system())
FROM (SELECT id FROM delivery_epoch ORDER BY number LIMIT 1) AS first,
     (SELECT system_identifier FROM delivery_epoch ORDER BY number DESC LIMIT 1) AS latest;

-- name: note_timeline
-- The latest life ended where another timeline began; nothing else changes with it. One row for whoever notes it first.
INSERT INTO delivery_epoch (number, system_identifier, timeline, dropped)
SELECT latest.number + 1, latest.system_identifier, now.timeline, latest.dropped
FROM (SELECT * FROM delivery_epoch ORDER BY number DESC LIMIT 1) AS latest,
     (SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int AS timeline) AS now
WHERE latest.timeline <> now.timeline
ON CONFLICT (number) DO NOTHING
RETURNING timeline;

-- name: lock
-- Writers wait for the few moments that this takes.
LOCK TABLE changes_change, delivery_subscription, delivery_place IN SHARE ROW EXCLUSIVE MODE;

-- name: mark_native
-- Rows of the log that were written in this cluster after the restore. Whatever restores a dump makes the indexes of a
-- table when all its rows are there: what is newer than the oldest of them was not restored. By partition, because several
-- processes restore them side by side. REINDEX makes indexes anew, so they are asked for whatever is oldest of them. Where
-- rows alone were restored, to tables that were there, all of them are newer, and go out once too often.
CREATE TEMPORARY TABLE native ON COMMIT DROP AS
SELECT c.seq
FROM changes_change c
JOIN (
    SELECT i.indrelid AS partition, max(greatest(age(i.xmin), age(k.xmin), age(a.xmin))) AS age
    FROM pg_index i JOIN pg_class k ON k.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = i.indexrelid
    GROUP BY i.indrelid
) AS indexes ON indexes.partition = c.tableoid
WHERE age(c.xmin) < indexes.age;

-- name: preview
-- Subscriptions and how many changes go out to them again or for the first time.
SELECT s.name, count(c.seq)
FROM delivery_subscription s JOIN delivery_place place ON place.id = s.place_id
LEFT JOIN changes_change c ON delivery_followed(s.follows, c.model, c.kind)
    AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
    AND s.state <> 'disabled' AND (c.seq IN (SELECT seq FROM native) OR {pending})
GROUP BY s.name ORDER BY s.name;

-- name: pending
-- What the old life had not fanned out, by its own snapshots.
NOT delivery_is_placed(place, c.xid, c.seq)

-- name: place
-- All that in the lanes, for every subscription.
WITH wanted AS MATERIALIZED (
    SELECT s.name, c.model, c.object_id, c.seq, c.at
    FROM delivery_subscription s JOIN delivery_place place ON place.id = s.place_id
    JOIN changes_change c ON delivery_followed(s.follows, c.model, c.kind)
        AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
    WHERE s.state <> 'disabled' AND (c.seq IN (SELECT seq FROM native) OR {pending})
), lane AS (
    INSERT INTO delivery_lane (subscription_id, model, object_id)
    SELECT DISTINCT name, model, object_id FROM wanted
    ON CONFLICT (subscription_id, model, object_id) DO UPDATE SET token = delivery_lane.token
    RETURNING id, subscription_id, model, object_id
)
INSERT INTO delivery_delivery (lane_id, seq, at)
SELECT lane.id, wanted.seq, wanted.at
FROM wanted JOIN lane ON (lane.subscription_id, lane.model, lane.object_id) = (wanted.name, wanted.model, wanted.object_id)
ON CONFLICT DO NOTHING;

-- name: start_windows
-- Everything in the log is placed or was delivered: the next window begins here.
UPDATE delivery_place
SET window_start = pg_current_snapshot(), window_end = NULL, window_seq = NULL, window_last = NULL,
    token = delivery_draw_token();

-- name: forget_transactions
-- Ids of the old life would come up again one day; the oldest possible one is visible in every snapshot.
ALTER TABLE changes_change DISABLE TRIGGER changes_change_append_only;
UPDATE changes_change SET xid = '3' WHERE seq NOT IN (SELECT seq FROM native);
ALTER TABLE changes_change ENABLE ALWAYS TRIGGER changes_change_append_only;

-- name: begin
INSERT INTO delivery_epoch (number, system_identifier, timeline)
SELECT (SELECT max(number) + 1 FROM delivery_epoch), system_identifier::text,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
FROM pg_control_system();
