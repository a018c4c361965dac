-- Fan-out: from the change log to the lanes of the subscriptions.
--
-- A change belongs to the window between two snapshots when it is visible in the later one and was not in the
-- earlier one. That is exact however writers overlap: reading `seq > last` would lose the changes of a transaction that
-- drew its numbers early and committed late. Within a window changes go out by seq, which is their order per object.
--
-- "Not visible in the earlier snapshot" means: the writer had not begun (xid >= its xmax), or was still running
-- (xid is in its xip). Both are ranges of the index on (xid, seq), so a transaction that stays open for hours does not
-- make the relay read any change twice.
--
-- A subscription's position is a row of lockstep_place. All active subscriptions that are up to date share one, so that a
-- window costs one row, and a row of each subscription that follows a change in it. Why nothing is lost or doubled between
-- the writers of places:
--
-- * Only the relay moves a place or adds members to it, with the place's row locked and a new token drawn. What was read of
--   a place (by this relay or another one, at any time) is used only while its token is the same: then the place is
--   unchanged, and this statement's snapshot shows all of its members.
-- * Only active subscriptions share. An operation that makes one paused, full, disabled or rewound locks its row, and in a
--   later statement, whose snapshot is new, gives it a place of its own (operations.sql, leave_place). It never writes the
--   place that it leaves. Its copy may be older than what the relay is about to write; then the relay has not fanned out
--   the chunk to this subscription, because that needs the lock on its row, and so the copy is right.
-- * Where an operation locks a subscription that follows a change of a chunk, it stays, and all others move to a new place
--   first. The relay never waits for an operation.
-- * The relay waits for no row of places and subscriptions (SKIP LOCKED), and takes lanes in the order in which settlements
--   do, so there is no deadlock. A crash undoes a whole statement, the place with the deliveries.

-- name: windows
-- The windows to fan out: one for each place with an active subscription. An open window continues where it was; another
-- one ends at this statement's own snapshot, so that it sees what the snapshot shows, and has no seq when it is empty.
-- Takes no locks: it runs many times a second. The places are found by a skip scan of the index of active subscriptions,
-- however many those are. Of the transactions that ran at window_start only ended ones are read: a large one would be read
-- again each time. OFFSET 0 keeps min() from walking the log by its primary key.
WITH RECURSIVE standing (place_id) AS (
    (SELECT place_id FROM lockstep_subscription WHERE state = 'active' ORDER BY place_id LIMIT 1)
    UNION ALL
    SELECT (SELECT s.place_id FROM lockstep_subscription s WHERE s.state = 'active' AND s.place_id > standing.place_id
            ORDER BY s.place_id LIMIT 1)
    FROM standing WHERE standing.place_id IS NOT NULL
)
SELECT place.id, place.token, place.window_start::text, coalesce(place.window_end, pg_current_snapshot())::text,
       place.window_end IS NOT NULL, coalesce(place.window_seq, new.seq), coalesce(place.window_last, new.last),
       coalesce(new.first_at, '-infinity'), coalesce(new.last_at, 'infinity')
FROM lockstep_place place
CROSS JOIN LATERAL (
    SELECT min(seq) AS seq, max(seq) AS last, min(at)::text AS first_at, max(at)::text AS last_at
    FROM (
        SELECT c.seq, c.at FROM lockstep_change c
        WHERE place.window_end IS NULL AND c.xid >= pg_snapshot_xmax(place.window_start)
        UNION ALL
        SELECT c.seq, c.at FROM lockstep_change c
        WHERE place.window_end IS NULL AND c.xid = ANY (ARRAY(
            SELECT xid FROM pg_snapshot_xip(place.window_start) AS xid
            WHERE pg_visible_in_snapshot(xid, pg_current_snapshot())))
        OFFSET 0
    ) AS found
) AS new
WHERE place.id = ANY (ARRAY(SELECT place_id FROM standing));

-- name: join
-- Joins the subscriptions at these places, which are equal or have no change between them and `start`, in the place with
-- the most. A locked one stays at its place. Writes nothing where none moves.
WITH place AS MATERIALIZED (
    SELECT place.id FROM lockstep_place place
    JOIN unnest(%(places)s::bigint[], %(tokens)s::bigint[]) AS seen (id, token) ON (seen.id, seen.token) = (place.id, place.token)
    ORDER BY place.id
    FOR NO KEY UPDATE OF place SKIP LOCKED
), target AS MATERIALIZED (
    SELECT place.id FROM place
    ORDER BY (SELECT count(*) FROM lockstep_subscription s WHERE s.place_id = place.id AND s.state = 'active') DESC, place.id
    LIMIT 1
), member AS MATERIALIZED (
    SELECT s.name FROM lockstep_subscription s
    WHERE s.place_id = ANY (ARRAY(SELECT id FROM place)) AND s.place_id <> (SELECT id FROM target) AND s.state = 'active'
    ORDER BY s.name
    FOR NO KEY UPDATE SKIP LOCKED
), joined AS (
    UPDATE lockstep_subscription s SET place_id = target.id FROM member, target WHERE s.name = member.name RETURNING s.name
)
UPDATE lockstep_place place SET window_start = %(start)s::pg_snapshot, token = lockstep_draw_token()
FROM target WHERE place.id = target.id AND EXISTS (SELECT FROM joined);

-- name: part
-- Moves all subscriptions at a place, except those that operations lock, to a new one at the same position. Writes nothing
-- where all are locked.
WITH place AS MATERIALIZED (
    SELECT * FROM lockstep_place WHERE id = %(place)s AND token = %(token)s FOR NO KEY UPDATE SKIP LOCKED
), member AS MATERIALIZED (
    SELECT s.name FROM lockstep_subscription s
    WHERE s.place_id = (SELECT id FROM place) AND s.state = 'active'
    FOR NO KEY UPDATE SKIP LOCKED
), ahead AS (
    INSERT INTO lockstep_place (window_start, window_end, window_seq, window_last)
    SELECT window_start, window_end, window_seq, window_last FROM place WHERE EXISTS (SELECT FROM member)
    RETURNING id
)
UPDATE lockstep_subscription s SET place_id = ahead.id FROM member, ahead WHERE s.name = member.name;

-- name: fan_out
-- Fans out one chunk of a window to the subscriptions at its place: a lane for each object that has none, a delivery for
-- each change; then the place is after the chunk (window_end, window_seq and window_last set) or at the window's end.
-- Updating an existing lane locks it until the end of the statement, so that a settlement cannot delete it meanwhile. `at`
-- is only for the planner, to find the partitions. A crash may undo this, with the place, so the relay's commits do not wait
-- for the disk. Its parts are below: {logged} are the changes, {types} has their patterns, {wanted} are the deliveries, and
-- {moved} is where the place is then; {kept} is the ON CONFLICT clause for changes that wait already (relay.py).
--
-- A chunk is the next so many rows of the log, by seq: numbers that were drawn and rolled back cost nothing. With many
-- followers it ends sooner: after so many deliveries.
--
-- Returns no row where another relay has the place, or had it since it was read. Else whether an operation locks a follower
-- of the chunk, so that nothing was done (see part); and for each subscription with new deliveries its name, their number,
-- and whether its waiting changes should be counted.
WITH place AS MATERIALIZED (
    SELECT id FROM lockstep_place WHERE id = %(place)s AND token = %(token)s FOR NO KEY UPDATE SKIP LOCKED
), {logged}, follower AS MATERIALIZED (
    SELECT s.name, s.follows, s.skip_origin FROM lockstep_subscription s
    WHERE s.follows && (SELECT array_agg(patterns) FROM {types}) AND s.place_id = %(place)s AND s.state = 'active'
    ORDER BY s.name
    FOR NO KEY UPDATE SKIP LOCKED
), held AS MATERIALIZED (
    SELECT count(*) > (SELECT count(*) FROM follower) AS found FROM lockstep_subscription s
    WHERE s.follows && (SELECT array_agg(patterns) FROM {types}) AND s.place_id = %(place)s AND s.state = 'active'
), {wanted}, lane AS (
    INSERT INTO lockstep_lane (subscription_id, model, object_id)
    SELECT DISTINCT name, model, object_id FROM wanted ORDER BY name, model, object_id
    ON CONFLICT (subscription_id, model, object_id) DO UPDATE SET token = lockstep_lane.token
    RETURNING id, subscription_id AS name, model, object_id
), placed AS (
    INSERT INTO lockstep_delivery (lane_id, seq, at)
    SELECT lane.id, wanted.seq, wanted.at FROM wanted JOIN lane USING (name, model, object_id)
    {kept}
), moved AS (
    UPDATE lockstep_place
    SET token = lockstep_draw_token(), {moved}
    WHERE id = (SELECT id FROM place) AND NOT (SELECT found FROM held)
), counted AS (
    UPDATE lockstep_subscription s SET placed = s.placed + each.changes
    FROM (SELECT name, count(*) AS changes FROM wanted GROUP BY name) AS each
    WHERE s.name = each.name AND s.name = ANY (ARRAY(SELECT name FROM follower))
    RETURNING s.name, each.changes, s.placed * %(counts)s >= s.cap AS may_be_full
)
SELECT held.found, counted.name, counted.changes, counted.may_be_full
FROM place CROSS JOIN held LEFT JOIN counted ON true;

-- name: is_new
-- Whether the writer of a change c belongs to the window.
(c.xid >= pg_snapshot_xmax(%(start)s::pg_snapshot) OR c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(start)s::pg_snapshot))))
AND pg_visible_in_snapshot(c.xid, %(end)s::pg_snapshot)

-- name: numbered
-- The changes c of the log that may belong to the window, by their numbers.
lockstep_change c
WHERE EXISTS (SELECT FROM place) AND c.seq >= %(seq)s AND c.seq <= %(last)s
  AND c.at BETWEEN %(first_at)s::timestamptz AND %(last_at)s::timestamptz

-- name: is_no_echo
(following.skip_origin IS NULL OR logged.origin IS DISTINCT FROM following.skip_origin)

-- The parts of fan_out for a window of a few numbers, which is fanned out as a whole. Most windows are so small, and to
-- prepare the execution of the parts below would be half of their time.

-- name: few_logged
logged AS MATERIALIZED (
    SELECT c.seq, c.at, c.model, c.object_id, c.origin, lockstep_patterns(c.model, c.kind) AS patterns
    FROM {include numbered} AND {include is_new}
)

-- name: few_wanted
wanted AS MATERIALIZED (
    SELECT following.name, logged.seq, logged.at, logged.model, logged.object_id
    FROM follower AS following JOIN logged ON following.follows && logged.patterns
    WHERE NOT (SELECT found FROM held) AND {include is_no_echo}
)

-- name: few_moved
window_start = %(end)s::pg_snapshot, window_end = NULL, window_seq = NULL, window_last = NULL

-- The parts of fan_out for a chunk of any window.

-- name: chunk_logged
logged AS MATERIALIZED (
    SELECT c.seq, c.at, c.model, c.kind, c.object_id, c.origin, {include is_new} AS is_new
    FROM {include numbered}
    ORDER BY c.seq
    LIMIT %(chunk)s
), event_type AS MATERIALIZED (
    SELECT model, kind, lockstep_patterns(model, kind) AS patterns, count(*) AS changes
    FROM logged WHERE is_new GROUP BY model, kind
)

-- name: chunk_wanted
following AS MATERIALIZED (
    SELECT follower.name, follower.skip_origin, event_type.model, event_type.kind, event_type.changes
    FROM follower JOIN event_type ON follower.follows && event_type.patterns
    WHERE NOT (SELECT found FROM held)
), chunk AS MATERIALIZED (
    SELECT {include cut} AS to_seq
), wanted AS MATERIALIZED (
    SELECT following.name, logged.seq, logged.at, logged.model, logged.object_id
    FROM following JOIN logged USING (model, kind)
    WHERE logged.is_new AND logged.seq < (SELECT to_seq FROM chunk) AND {include is_no_echo}
)

-- name: chunk_moved
window_start = CASE WHEN to_seq > %(last)s THEN %(end)s ELSE %(start)s END::pg_snapshot,
window_end = CASE WHEN to_seq > %(last)s THEN NULL ELSE %(end)s END::pg_snapshot,
window_seq = CASE WHEN to_seq > %(last)s THEN NULL ELSE to_seq END,
window_last = CASE WHEN to_seq > %(last)s THEN NULL ELSE %(last)s END
FROM chunk

-- name: cut
-- The end of a chunk.
coalesce(
    CASE WHEN (SELECT sum(changes) FROM following) > %(chunk)s THEN (
        SELECT min(seq) FROM (
            SELECT logged.seq, sum(followed.by) OVER (ORDER BY logged.seq) - followed.by AS before
            FROM logged JOIN (SELECT model, kind, count(*) AS by FROM following GROUP BY model, kind) AS followed
                 USING (model, kind)
            WHERE logged.is_new
        ) AS total
        WHERE before >= %(chunk)s
    ) END,
    CASE WHEN (SELECT count(*) FROM logged) = %(chunk)s THEN (SELECT max(seq) + 1 FROM logged) END,
    %(last)s + 1)

-- name: count_waiting
-- Counts waiting changes; no row where no count is due: the subscription is not active, or another relay has counted.
-- Counting many is slow, so it is done seldom: `placed` is the number of changes since the last count.
SELECT s.placed, s.cap, (
    SELECT count(*) FROM lockstep_lane lane JOIN lockstep_delivery d ON d.lane_id = lane.id
    WHERE lane.subscription_id = s.name)
FROM lockstep_subscription s
WHERE s.name = %(subscription)s AND s.state = 'active' AND s.placed * %(counts)s >= s.cap;

-- name: note_count
-- Notes a count, unless the subscription was paused, disabled or counted by another relay meanwhile: no row then.
UPDATE lockstep_subscription SET placed = placed - %(placed)s
WHERE name = %(subscription)s AND state = 'active' AND placed >= %(placed)s
RETURNING name;

-- name: fill
-- Stops fan-out to a subscription at its cap. In the transaction that has noted the count.
UPDATE lockstep_subscription SET state = 'full', reason = %(reason)s WHERE name = %(subscription)s;
