-- Reading the log from outside delivery: whoever follows it keeps his place himself, and gives it back to go on.
--
-- A place is a window between two snapshots, as the relay's is (relay.sql), and a seq within it: everything that the
-- first snapshot shows, and everything of the window up to that seq, has been read.

-- name: now
-- The epoch and a snapshot: what commits after this statement is new.
SELECT left(id::text, 8), pg_current_snapshot()::text FROM delivery_epoch ORDER BY began DESC LIMIT 1;

-- name: examine
-- Whether a place is of the future, whether it is of this epoch, and whether the log has everything after it. Of the
-- days that were dropped only the last transaction is known, so that one which ran for days may be refused in vain.
SELECT left(e.id::text, 8) = %(epoch)s AND pg_snapshot_xmax(%(end)s::pg_snapshot) > pg_snapshot_xmax(now.snapshot),
       left(e.id::text, 8) = %(epoch)s,
       e.dropped IS NULL OR (
           pg_snapshot_xmax(%(start)s::pg_snapshot) > e.dropped::text::xid8
           AND NOT EXISTS (SELECT FROM pg_snapshot_xip(%(start)s::pg_snapshot) AS running
                           WHERE running <= e.dropped::text::xid8))
FROM delivery_epoch e, (SELECT pg_current_snapshot() AS snapshot) AS now
ORDER BY e.began DESC LIMIT 1;

-- name: next_window
-- The end of the next window, which is this statement's own snapshot, and its first seq; NULL when it is empty. OFFSET 0
-- keeps min() from walking the log by its primary key.
SELECT pg_current_snapshot()::text, min(seq)
FROM (
    SELECT c.seq FROM changes_change c WHERE c.xid >= pg_snapshot_xmax(%(start)s::pg_snapshot)
    UNION ALL
    SELECT c.seq FROM changes_change c WHERE c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(start)s::pg_snapshot)))
    OFFSET 0
) AS new;

-- name: read
-- What comes next in the window.
SELECT c.seq, c.at, c.model, c.object_id, c.kind, c.before, c.after, c.actor, c.origin, c.trace
FROM changes_change c
WHERE c.seq > %(seq)s
  AND (c.xid >= pg_snapshot_xmax(%(start)s::pg_snapshot) AND c.xid < pg_snapshot_xmax(%(end)s::pg_snapshot)
       OR c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(start)s::pg_snapshot))))
  AND pg_visible_in_snapshot(c.xid, %(end)s::pg_snapshot)
ORDER BY c.seq
LIMIT %(limit)s;
