-- What a worker does beside delivering.

-- name: declare_subscription
-- Makes the subscription on its first day, from now on; keeps what it follows as the code says. Its place stays. What is
-- replaced is kept (the last 20), so that a worker of an older version can be told from one of a newer.
INSERT INTO delivery_subscription AS old (name, kind, follows, skip_origin, cap)
VALUES (%(name)s, %(kind)s, %(follows)s, %(skip_origin)s, %(cap)s)
ON CONFLICT (name) DO UPDATE
SET kind = excluded.kind, follows = excluded.follows, skip_origin = excluded.skip_origin, cap = excluded.cap,
    replaced = (array_remove(old.replaced, ROW(excluded.kind, excluded.follows, excluded.skip_origin, excluded.cap)::text)
                || ROW(old.kind, old.follows, old.skip_origin, old.cap)::text)[greatest(1, cardinality(old.replaced) - 18):]
WHERE (old.kind, old.follows, old.skip_origin, old.cap)
      IS DISTINCT FROM (excluded.kind, excluded.follows, excluded.skip_origin, excluded.cap);

-- name: is_replaced
-- Whether another version of the code replaced this declaration. The row is locked until it is replaced in turn.
SELECT ROW(new.kind, new.follows, new.skip_origin, new.cap)::text = ANY (old.replaced)
FROM delivery_subscription old
CROSS JOIN (SELECT %(kind)s::text AS kind, %(follows)s::text[] AS follows, %(skip_origin)s::text AS skip_origin,
                   %(cap)s::bigint AS cap) AS new
WHERE old.name = %(name)s FOR NO KEY UPDATE OF old;

-- name: bring_near
-- Lanes that wait for an old time: the clock stepped back since, by `step` where that is known. What waits after a failure
-- comes forward by it, while it waits longer than that: a second worker, which has seen the same step, finds it done. Lanes
-- that no worker can have put off so far waited for a time before some other step. Those that did not fail may be claimed just
-- now, so they are taken to be.
UPDATE delivery_lane SET next_at = found.near
FROM (
    SELECT lane.id, CASE WHEN lane.failure IS NOT NULL AND lane.next_at - %(step)s <= clock_timestamp() + %(longest)s
                         THEN lane.next_at - %(step)s ELSE clock_timestamp() + known.lease END AS near
    FROM delivery_lane lane
    JOIN unnest(%(names)s::text[], %(leases)s::interval[]) AS known (name, lease)
      ON known.name = split_part(lane.subscription_id, ':', 1)
    WHERE lane.next_at > clock_timestamp()
        + CASE WHEN lane.failure IS NULL THEN known.lease ELSE greatest(known.lease, %(longest)s::interval) END
       OR lane.failure IS NOT NULL AND %(step)s::interval > interval '0' AND lane.next_at > clock_timestamp() + %(step)s
    FOR UPDATE OF lane SKIP LOCKED
) AS found
WHERE delivery_lane.id = found.id;

-- name: declare_periodic
-- Due at once, or never when it is only done on request.
INSERT INTO delivery_periodictask (name, next_at)
VALUES (%(name)s, CASE WHEN %(every)s::interval IS NULL THEN 'infinity' ELSE now() END)
ON CONFLICT DO NOTHING;

-- name: request_periodic
-- Wanted soon; requests that come before it is done are one.
UPDATE delivery_periodictask SET next_at = clock_timestamp() + %(delay)s
WHERE name = %(name)s AND next_at > clock_timestamp() + %(delay)s;

-- name: take_periodic
-- Whoever changes the row does the work: one row, or none when it is not due or somebody else took it. Work that is done
-- on request is due again in a minute, unless it is told to be done by then. What is put off further than anybody puts it
-- off is due, too: the clock stepped back. The moment is asked for anew when somebody else's change was waited for.
UPDATE delivery_periodictask SET next_at = clock_timestamp() + %(longest)s
WHERE name = %(name)s
  AND (next_at <= clock_timestamp() OR next_at > clock_timestamp() + %(longest)s AND next_at < 'infinity')
RETURNING next_at;

-- name: asleep
-- Periodic work that is late by more than it may be, or put off further than anybody puts it off.
SELECT task.name
FROM delivery_periodictask task
JOIN unnest(%(names)s::text[], %(longest)s::interval[], %(late)s::interval[]) AS work (name, longest, late)
  ON work.name = task.name
WHERE task.next_at < clock_timestamp() - work.late
   OR task.next_at > clock_timestamp() + work.longest AND task.next_at < 'infinity'
ORDER BY task.name;

-- name: finish_periodic
-- What was requested is done, unless it was requested again meanwhile.
UPDATE delivery_periodictask SET next_at = 'infinity' WHERE name = %(name)s AND next_at = %(taken)s;

-- name: make_partitions
SELECT changes_make_partitions(2);

-- name: old_partitions
-- Partitions of the log that ended before the retention began: name, first moment, first moment after it. Oldest first.
-- The default partition has no bounds and stays.
SELECT child.relname, bounds.first, bounds.past
FROM pg_inherits
JOIN pg_class child ON child.oid = inhrelid
CROSS JOIN LATERAL (SELECT pg_get_expr(child.relpartbound, child.oid) AS expression) AS said
CROSS JOIN LATERAL (
    SELECT substring(expression FROM 'FROM \(''(.+)''\) TO')::timestamptz AS first,
           substring(expression FROM 'TO \(''(.+)''\)')::timestamptz AS past
) AS bounds
WHERE inhparent = 'changes_change'::regclass AND bounds.past <= now() - make_interval(days => %(days)s)
ORDER BY bounds.first;

-- name: needed_by
-- The subscriptions that still need a partition of the log: it is not fanned out to them, waits in their lanes, or is a
-- dead letter that nobody has settled. One that is disabled needs nothing.
SELECT s.name FROM delivery_subscription s JOIN delivery_place place ON place.id = s.place_id
WHERE s.state <> 'disabled' AND (
    EXISTS (SELECT FROM delivery_unplaced(place) AS c WHERE c.at >= %(from)s AND c.at < %(to)s)
    OR EXISTS (
        SELECT FROM delivery_lane lane JOIN delivery_delivery d ON d.lane_id = lane.id
        WHERE lane.subscription_id = s.name AND d.at >= %(from)s AND d.at < %(to)s)
    OR s.keeps_log AND EXISTS (
        SELECT FROM delivery_deadletter letter
        WHERE letter.subscription_id = s.name AND letter.outcome IS NULL
          AND letter.at >= %(from)s AND letter.at < %(to)s))
ORDER BY s.name;

-- name: keep_needs
-- Until this transaction ends nobody needs more of the log than now: nothing is placed, rewound or becomes a dead letter.
-- Writers do not notice.
LOCK TABLE delivery_place, delivery_delivery, delivery_deadletter IN SHARE MODE;

-- name: relieve
-- Subscriptions that were full take changes again once half of what waited is delivered. One that is paused or disabled
-- while that is counted stays so: its state is asked again when its row is written.
UPDATE delivery_subscription s SET state = 'active', reason = ''
WHERE s.state = 'full' AND (
    SELECT count(*) FROM (
        SELECT FROM delivery_lane lane JOIN delivery_delivery d ON d.lane_id = lane.id
        WHERE lane.subscription_id = s.name LIMIT s.cap / 2 + 1) AS waiting
) <= s.cap / 2
RETURNING s.name;

-- name: remove_places
-- Places at which no subscription stands, but for one that is joined at this moment: its token is another one then.
WITH empty AS MATERIALIZED (
    SELECT place.id, place.token FROM delivery_place place
    WHERE NOT EXISTS (SELECT FROM delivery_subscription s WHERE s.place_id = place.id)
)
DELETE FROM delivery_place place USING empty WHERE (place.id, place.token) = (empty.id, empty.token);

-- name: remove_attempts
DELETE FROM delivery_attempt WHERE began < now() - %(kept)s::interval;

-- name: note_dropped
-- A client that follows the log must be told when it does not reach back to its place (following.sql). {{}} is the
-- partition.
UPDATE delivery_epoch SET dropped = greatest(dropped, (SELECT max(xid)::text::bigint FROM {}))
WHERE number = (SELECT max(number) FROM delivery_epoch);
