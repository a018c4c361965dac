-- Upkeep by workers.

-- name: declare_subscription
-- Inserts the subscription, which starts now, or updates it to the code's declaration and keeps its place. Replaced
-- declarations are kept (the last 20), to tell workers of an older version from those of a newer.
INSERT INTO lockstep_subscription AS old (name, kind, follows, skip_origin, cap)
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
FROM lockstep_subscription old
CROSS JOIN (SELECT %(kind)s::text AS kind, %(follows)s::text[] AS follows, %(skip_origin)s::text AS skip_origin,
                   %(cap)s::bigint AS cap) AS new
WHERE old.name = %(name)s FOR NO KEY UPDATE OF old;

-- name: replaced_declarations
-- Those of these declarations that another version of the code replaced; no row is locked.
SELECT new.name
FROM jsonb_to_recordset(%(declared)s::jsonb) AS new (name text, kind text, follows text[], skip_origin text, cap bigint)
JOIN lockstep_subscription old ON old.name = new.name
WHERE ROW(new.kind, new.follows, new.skip_origin, new.cap)::text = ANY (old.replaced);

-- name: bring_near
-- Shortens waits of lanes after the clock stepped back, by `step` where that is known. Lanes that wait after a failure come
-- forward by it while they wait longer than that, so that a second worker with the same step changes nothing. Lanes that
-- wait longer than any worker postpones them date from before another step. Those that did not fail may be claimed now,
-- and get a lease's time.
UPDATE lockstep_lane SET next_at = found.near
FROM (
    SELECT lane.id, CASE WHEN lane.failure IS NOT NULL AND lane.next_at - %(step)s <= clock_timestamp() + %(longest)s
                         THEN lane.next_at - %(step)s ELSE clock_timestamp() + known.lease END AS near
    FROM lockstep_lane lane
    JOIN unnest(%(names)s::text[], %(leases)s::interval[]) AS known (name, lease)
      ON known.name = split_part(lane.subscription_id, ':', 1)
    WHERE lane.next_at > clock_timestamp()
        + CASE WHEN lane.failure IS NULL THEN known.lease ELSE greatest(known.lease, %(longest)s::interval) END
       OR lane.failure IS NOT NULL AND %(step)s::interval > interval '0' AND lane.next_at > clock_timestamp() + %(step)s
    FOR UPDATE OF lane SKIP LOCKED
) AS found
WHERE lockstep_lane.id = found.id;

-- name: declare_periodic
-- Due at once; work on request only is never due.
INSERT INTO lockstep_periodictask (name, next_at)
VALUES (%(name)s, CASE WHEN %(every)s::interval IS NULL THEN 'infinity' ELSE now() END)
ON CONFLICT DO NOTHING;

-- name: request_periodic
-- Schedules work soon; further requests before it is done have no effect.
UPDATE lockstep_periodictask SET next_at = clock_timestamp() + %(delay)s
WHERE name = %(name)s AND next_at > clock_timestamp() + %(delay)s;

-- name: take_periodic
-- The worker that updates the row does the work: one row, or none when it is not due or another worker took it. Work on
-- request is due again in a minute, unless it is finished by then. Work scheduled further ahead than possible is due, too:
-- the clock stepped back. clock_timestamp() is evaluated again after a wait for another transaction's update.
UPDATE lockstep_periodictask SET next_at = clock_timestamp() + %(longest)s
WHERE name = %(name)s
  AND (next_at <= clock_timestamp() OR next_at > clock_timestamp() + %(longest)s AND next_at < 'infinity')
RETURNING next_at;

-- name: overdue
-- Periodic work that is later than allowed, or scheduled further ahead than possible.
SELECT task.name
FROM lockstep_periodictask task
JOIN unnest(%(names)s::text[], %(longest)s::interval[], %(late)s::interval[]) AS work (name, longest, late)
  ON work.name = task.name
WHERE task.next_at < clock_timestamp() - work.late
   OR task.next_at > clock_timestamp() + work.longest AND task.next_at < 'infinity'
ORDER BY task.name;

-- name: finish_periodic
-- Finishes requested work, unless it was requested again meanwhile.
UPDATE lockstep_periodictask SET next_at = 'infinity' WHERE name = %(name)s AND next_at = %(taken)s;

-- name: make_partitions
SELECT lockstep_make_partitions(2);

-- name: old_partitions
-- Partitions of the log that ended before the retention began: name, first moment, first moment after it. Oldest first.
-- The default partition has no bounds and stays.
SELECT child.relname, bounds.first, bounds.past
FROM pg_inherits
JOIN pg_class child ON child.oid = inhrelid
CROSS JOIN LATERAL (SELECT pg_get_expr(child.relpartbound, child.oid) AS expression) AS bound
CROSS JOIN LATERAL (
    SELECT substring(expression FROM 'FROM \(''(.+)''\) TO')::timestamptz AS first,
           substring(expression FROM 'TO \(''(.+)''\)')::timestamptz AS past
) AS bounds
WHERE inhparent = 'lockstep_change'::regclass AND bounds.past <= now() - make_interval(days => %(days)s)
ORDER BY bounds.first;

-- name: needed_by
-- The subscriptions that still need a partition of the log: for fan-out, for their lanes or for open dead letters. A
-- disabled one needs none.
SELECT s.name FROM lockstep_subscription s JOIN lockstep_place place ON place.id = s.place_id
WHERE s.state <> 'disabled' AND (
    EXISTS (SELECT FROM lockstep_unplaced(place) AS c WHERE c.at >= %(from)s AND c.at < %(to)s)
    OR EXISTS (
        SELECT FROM lockstep_lane lane JOIN lockstep_delivery d ON d.lane_id = lane.id
        WHERE lane.subscription_id = s.name AND d.at >= %(from)s AND d.at < %(to)s)
    OR s.keeps_log AND EXISTS (
        SELECT FROM lockstep_deadletter letter
        WHERE letter.subscription_id = s.name AND letter.outcome IS NULL
          AND letter.at >= %(from)s AND letter.at < %(to)s))
ORDER BY s.name;

-- name: keep_needs
-- Locks out fan-out, rewinds and new dead letters until this transaction ends, so that no subscription comes to need more
-- of the log. Writers are not blocked.
LOCK TABLE lockstep_place, lockstep_delivery, lockstep_deadletter IN SHARE MODE;

-- name: resume_drained
-- Resumes fan-out to subscriptions at their cap once half of their changes are delivered. One that is paused or disabled
-- during the count stays so: the state is checked again when its row is written.
UPDATE lockstep_subscription s SET state = 'active', reason = ''
WHERE s.state = 'full' AND (
    SELECT count(*) FROM (
        SELECT FROM lockstep_lane lane JOIN lockstep_delivery d ON d.lane_id = lane.id
        WHERE lane.subscription_id = s.name LIMIT s.cap / 2 + 1) AS waiting
) <= s.cap / 2
RETURNING s.name;

-- name: remove_places
-- Removes places without subscriptions, except one that is being joined: its token has changed then.
WITH empty AS MATERIALIZED (
    SELECT place.id, place.token FROM lockstep_place place
    WHERE NOT EXISTS (SELECT FROM lockstep_subscription s WHERE s.place_id = place.id)
)
DELETE FROM lockstep_place place USING empty WHERE (place.id, place.token) = (empty.id, empty.token);

-- name: remove_attempts
DELETE FROM lockstep_attempt WHERE began < now() - %(kept)s::interval;

-- name: note_dropped
-- Notes the last dropped transaction, by which expired positions of clients are detected (log_reader.sql).
UPDATE lockstep_epoch SET dropped = greatest(dropped, (SELECT max(xid)::text::bigint FROM {partition}))
WHERE number = (SELECT max(number) FROM lockstep_epoch);

-- name: anything_due
-- Whether a worker would deliver or fan out anything now, for tests of projects (testing.py).
SELECT EXISTS (SELECT FROM lockstep_lane lane JOIN lockstep_subscription s ON s.name = lane.subscription_id
               WHERE s.state IN ('active', 'full') AND (lane.next_at <= clock_timestamp() OR lane.failure IS NULL))
    OR EXISTS (SELECT FROM lockstep_subscription s JOIN lockstep_place place ON place.id = s.place_id
               CROSS JOIN LATERAL lockstep_unplaced(place) AS c
               WHERE s.state = 'active' AND lockstep_followed(s.follows, c.model, c.kind)
                 AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin));
