-- Fan-out: from the change log to the lanes of the subscriptions.
--
-- A change belongs to the window between two snapshots when it is visible in the later one and was not in the
-- earlier one. That is exact however writers overlap: reading `seq > last` would lose the changes of a transaction that
-- drew its numbers early and committed late. Within a window changes go out by seq, which is their order per object.
--
-- "Not visible in the earlier snapshot" means: the writer had not begun (xid >= its xmax), or was still running
-- (xid is in its xip). Both are ranges of the index on (xid, seq), so a transaction that stays open for hours does not
-- make the relay read anything twice.

-- name: windows
-- What these subscriptions have to fan out, as far as they are active: windows, each with all who stand at its
-- beginning, which mostly is everybody. A window that was left open goes on where it was; another one ends at this
-- statement's own snapshot, so that what it sees is what the snapshot shows. Takes no locks: asked many times a second.
-- OFFSET 0 keeps min() from walking the log by its primary key.
SELECT place.start, coalesce(place.open_until, pg_current_snapshot()::text), place.open_until IS NOT NULL,
       coalesce(place.seq, new.seq), coalesce(place.last, new.last),
       coalesce(new.first_at, '-infinity'), coalesce(new.last_at, 'infinity'), place.names
FROM (
    SELECT window_start::text AS start, window_end::text AS open_until, window_seq AS seq, window_last AS last,
           array_agg(name ORDER BY name) AS names
    FROM delivery_subscription
    WHERE state = 'active' AND (name = ANY (%(names)s) OR split_part(name, ':', 1) = ANY (%(families)s))
    GROUP BY 1, 2, 3, 4
) AS place
CROSS JOIN LATERAL (
    SELECT min(seq) AS seq, max(seq) AS last, min(at)::text AS first_at, max(at)::text AS last_at
    FROM (
        SELECT c.seq, c.at FROM changes_change c
        WHERE place.open_until IS NULL AND c.xid >= pg_snapshot_xmax(place.start::pg_snapshot)
        UNION ALL
        SELECT c.seq, c.at FROM changes_change c
        WHERE place.open_until IS NULL AND c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(place.start::pg_snapshot)))
        OFFSET 0
    ) AS found
) AS new
WHERE place.open_until IS NOT NULL OR new.seq IS NOT NULL;

-- name: fan_out
-- One chunk of a window, a range of seq, to those who still stand where the window was seen: a lane for each object that
-- has none, a delivery for each change; then they stand behind the chunk (window_end, window_seq and window_last set) or
-- at the window's end. Who is paused by now, or somebody else's, is left out. Touching a lane that exists keeps it locked
-- until this statement is done, so that an ack cannot retire it meanwhile. `at` is only for the planner: it finds the
-- partitions. A crash may undo this, with the places, so nobody need wait for the disk.
-- Returns the names, how many changes each was given, and whether its cap should be looked at.
WITH place AS MATERIALIZED (
    SELECT name, follows, skip_origin
    FROM delivery_subscription
    WHERE name = ANY (%(names)s) AND state = 'active' AND window_start::text = %(start)s
      AND CASE WHEN %(is_open)s THEN window_end::text = %(end)s AND window_seq = %(seq)s ELSE window_end IS NULL END
    ORDER BY name
    FOR NO KEY UPDATE SKIP LOCKED
), chunk AS MATERIALIZED (
    SELECT c.seq, c.at, c.model, c.kind, c.object_id, c.origin
    FROM changes_change c
    WHERE c.seq >= %(seq)s AND c.seq < %(to_seq)s
      AND c.at BETWEEN %(first_at)s::timestamptz AND %(last_at)s::timestamptz
      AND (c.xid >= pg_snapshot_xmax(%(start)s::pg_snapshot) AND c.xid < pg_snapshot_xmax(%(end)s::pg_snapshot)
           OR c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(start)s::pg_snapshot))))
      AND pg_visible_in_snapshot(c.xid, %(end)s::pg_snapshot)
), wanted AS MATERIALIZED (
    SELECT place.name, chunk.seq, chunk.at, chunk.model, chunk.object_id
    FROM place
    JOIN (SELECT DISTINCT model, kind FROM chunk) AS said ON delivery_followed(place.follows, said.model, said.kind)
    JOIN chunk USING (model, kind)
    WHERE place.skip_origin IS NULL OR chunk.origin IS DISTINCT FROM place.skip_origin
), lane AS (
    INSERT INTO delivery_lane (subscription_id, model, object_id)
    SELECT DISTINCT name, model, object_id FROM wanted ORDER BY name, model, object_id
    ON CONFLICT (subscription_id, model, object_id) DO UPDATE SET token = delivery_lane.token
    RETURNING id, subscription_id AS name, model, object_id
), placed AS (
    INSERT INTO delivery_delivery (lane_id, seq, at)
    SELECT lane.id, wanted.seq, wanted.at FROM wanted JOIN lane USING (name, model, object_id)
), given AS (
    SELECT place.name, count(wanted.seq) AS changes
    FROM place LEFT JOIN wanted USING (name) GROUP BY place.name
)
UPDATE delivery_subscription s
SET window_start = CASE WHEN %(is_last)s THEN %(end)s ELSE %(start)s END::pg_snapshot,
    window_end = CASE WHEN %(is_last)s THEN NULL ELSE %(end)s END::pg_snapshot,
    window_seq = CASE WHEN %(is_last)s THEN NULL ELSE %(to_seq)s END,
    window_last = CASE WHEN %(is_last)s THEN NULL ELSE %(last)s END,
    placed = s.placed + given.changes
FROM given, set_config('synchronous_commit', 'off', true)
WHERE s.name = given.name
RETURNING s.name, given.changes, s.placed * %(counts)s >= s.cap;

-- name: count_waiting
-- Counts what waits; at the cap the subscription is full, and fan-out leaves it where it is. Counting takes long where
-- much waits, so it is done once in a while: `placed` is what came since.
UPDATE delivery_subscription s
SET placed = 0,
    state = CASE WHEN waiting.count < s.cap THEN s.state ELSE 'full' END,
    reason = CASE WHEN waiting.count < s.cap THEN s.reason ELSE waiting.count || ' changes wait; it takes no more' END
FROM (
    SELECT count(*) FROM delivery_lane lane JOIN delivery_delivery d ON d.lane_id = lane.id
    WHERE lane.subscription_id = %(subscription)s
) AS waiting
WHERE s.name = %(subscription)s
RETURNING s.state, s.reason;
