-- Reads of the log for clients, which keep their own position and send it to continue.
--
-- A position is a window between two snapshots, like the relay's (relay.sql), and a seq within it: the client has read all
-- that the first snapshot shows, and the window up to that seq.
--
-- The database may be rolled back: a replica that lacks the last changes is promoted, or a backup replaces the data, and
-- transaction ids that the position shows are assigned again. So the snapshots of a position show no id above that of the
-- last change they show (log_reader.py cuts them), and the position names this change. To continue, the log must have
-- that row. Then the database was not rolled back to before the beginning of the row's transaction, and no later
-- transaction gets an id that the position shows.

-- name: now
-- The epoch, a snapshot, and the last change that it shows: later commits are new. And the last transaction of the
-- dropped partitions, and whether this is the primary of the cluster where the log was written.
SELECT right(e.id::text, 8), pg_current_snapshot()::text, last.xid::text::bigint, last.seq, last.at, e.dropped,
       e.system_identifier = (SELECT system_identifier::text FROM pg_control_system()) AND NOT pg_is_in_recovery()
FROM (SELECT * FROM lockstep_epoch ORDER BY number DESC LIMIT 1) AS e
LEFT JOIN LATERAL (
    SELECT c.xid, c.seq, c.at FROM lockstep_change c ORDER BY c.xid DESC, c.seq DESC LIMIT 1
) AS last ON true;

-- name: validate
-- Whether the log can be read here; whether a position is of this cluster and of its past, and whether the log has
-- everything after it. Of dropped partitions only the last transaction is known, so a position during a transaction that
-- ran for days may be refused needlessly.
SELECT e.system_identifier = now.cluster AND NOT pg_is_in_recovery(),
       EXISTS (SELECT FROM lockstep_epoch own WHERE right(own.id::text, 8) = %(epoch)s AND NOT EXISTS (
           SELECT FROM lockstep_epoch later WHERE later.number >= own.number AND later.system_identifier <> now.cluster)),
       e.dropped::text::xid8 = %(last_xid)s::text::xid8 OR CASE
           WHEN %(last_seq)s::bigint IS NULL THEN e.dropped IS NULL AND %(last_xid)s::text = '0'
           ELSE EXISTS (SELECT FROM lockstep_change c WHERE c.seq = %(last_seq)s AND c.at = %(last_at)s
                        AND c.xid = %(last_xid)s::text::xid8) END,
       e.dropped IS NULL OR (
           pg_snapshot_xmax(%(start)s::pg_snapshot) > e.dropped::text::xid8
           AND NOT EXISTS (SELECT FROM pg_snapshot_xip(%(start)s::pg_snapshot) AS running
                           WHERE running <= e.dropped::text::xid8)),
       %(end)s::pg_snapshot
FROM (SELECT * FROM lockstep_epoch ORDER BY number DESC LIMIT 1) AS e,
     (SELECT system_identifier::text AS cluster FROM pg_control_system()) AS now;

-- name: next_window
-- The end of the next window, which is this statement's own snapshot, its first seq and its last transaction; NULL when it
-- is empty. OFFSET 0 keeps min() from walking the log by its primary key.
SELECT pg_current_snapshot()::text, min(seq), max(xid)::text::bigint
FROM (
    SELECT c.seq, c.xid FROM lockstep_change c WHERE c.xid >= pg_snapshot_xmax(%(start)s::pg_snapshot)
    UNION ALL
    SELECT c.seq, c.xid FROM lockstep_change c WHERE c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(start)s::pg_snapshot)))
    OFFSET 0
) AS new;

-- name: last_of
-- The last change of a transaction.
SELECT seq, at FROM lockstep_change WHERE xid = %(xid)s::text::xid8 ORDER BY seq DESC LIMIT 1;

-- name: read
-- The next changes of the window.
SELECT c.seq, c.at, c.model, c.object_id, c.kind, c.before, c.after, c.actor, c.origin, c.trace
FROM lockstep_change c
WHERE c.seq > %(seq)s
  AND (c.xid >= pg_snapshot_xmax(%(start)s::pg_snapshot) AND c.xid < pg_snapshot_xmax(%(end)s::pg_snapshot)
       OR c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(start)s::pg_snapshot))))
  AND pg_visible_in_snapshot(c.xid, %(end)s::pg_snapshot)
ORDER BY c.seq
LIMIT %(limit)s;
