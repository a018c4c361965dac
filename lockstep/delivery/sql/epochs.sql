-- The lives of the database. Snapshots and transaction ids mean something in one cluster alone: after a dump was restored
-- into another one, the places of the subscriptions must be written anew before anything goes on.

-- name: begin_first
-- Made on the first day.
INSERT INTO delivery_epoch (system_identifier)
SELECT system_identifier::text FROM pg_control_system() WHERE NOT EXISTS (SELECT FROM delivery_epoch);

-- name: epochs
-- All lives, the latest first: the first seq of each, its id, and whether it began in this cluster.
SELECT first_seq, id, system_identifier = (SELECT system_identifier::text FROM pg_control_system())
FROM delivery_epoch ORDER BY began DESC;

-- name: cluster
SELECT system_identifier::text FROM pg_control_system();

-- name: lock
-- Writers wait for the few moments that this takes.
LOCK TABLE changes_change, delivery_subscription IN SHARE ROW EXCLUSIVE MODE;

-- name: mark_native
-- Rows of the log that were written in this cluster after the restore: the transaction that wrote the row, or a savepoint
-- of it that began a little later, is the one that the row names. All others came with the dump, and their ids are of
-- another life. One of those that is taken for native goes out once too often; no other mistake can be made.
CREATE TEMPORARY TABLE native ON COMMIT DROP AS
SELECT seq FROM changes_change
WHERE (xmin::text::bigint - xid::text::bigint % 4294967296 + 4294967296) % 4294967296 < 10000000;

-- name: preview
-- Subscriptions and how many changes go out to them again or for the first time.
SELECT s.name, count(c.seq)
FROM delivery_subscription s
LEFT JOIN changes_change c ON delivery_followed(s.follows, c.model, c.kind)
    AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
    AND s.state <> 'disabled' AND (c.seq IN (SELECT seq FROM native) OR {pending})
GROUP BY s.name ORDER BY s.name;

-- name: pending
-- What the old life had not fanned out, by its own snapshots.
NOT (pg_visible_in_snapshot(c.xid, s.window_start)
     OR s.window_end IS NOT NULL AND c.seq < s.window_seq AND pg_visible_in_snapshot(c.xid, s.window_end))

-- name: place
-- All that in the lanes, for every subscription.
WITH wanted AS MATERIALIZED (
    SELECT s.name, c.model, c.object_id, c.seq, c.at
    FROM delivery_subscription s
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
UPDATE delivery_subscription
SET window_start = pg_current_snapshot(), window_end = NULL, window_seq = NULL, window_last = NULL;

-- name: forget_transactions
-- Ids of the old life would come up again one day; the oldest possible one is visible in every snapshot.
ALTER TABLE changes_change DISABLE TRIGGER changes_change_append_only;
UPDATE changes_change SET xid = '3' WHERE seq NOT IN (SELECT seq FROM native);
ALTER TABLE changes_change ENABLE ALWAYS TRIGGER changes_change_append_only;

-- name: begin
-- From its first seq on, message ids are of the new life: the old one may have given the same numbers to changes that are
-- lost. What is older keeps its message id.
INSERT INTO delivery_epoch (system_identifier, first_seq)
SELECT system_identifier::text, coalesce((SELECT min(seq) FROM native), nextval('changes_change_seq'))
FROM pg_control_system();
