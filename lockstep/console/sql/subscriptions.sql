-- The console's reads of subscriptions. A subscription may be millions of changes behind, and a family may have thousands
-- of members: for each, no more than %(most)s changes, lanes and dead letters are read. A count that reaches this number
-- is "at least". Every statement goes by an index. ORDER BY within a limit makes sure of that: for the first of some rows
-- PostgreSQL may read a whole table, because it expects them early. Those of lanes are executed by read_in_order (rows.py).

-- name: families
-- Each family with its members by state, those whose remote does not answer, and those with something in a lane and with
-- open dead letters. The rows of subscriptions are small, and the rest is one probe of an index for each.
SELECT split_part(s.name, ':', 1) AS family, count(*),
       count(*) FILTER (WHERE s.state = 'active'), count(*) FILTER (WHERE s.state = 'paused'),
       count(*) FILTER (WHERE s.state = 'full'), count(*) FILTER (WHERE s.state = 'disabled'),
       count(*) FILTER (WHERE s.silent_since IS NOT NULL), sum(lanes.has_any)::bigint, sum(dead.has_any)::bigint
FROM lockstep_subscription s
CROSS JOIN LATERAL (
    SELECT count(*) AS has_any
    FROM (SELECT FROM lockstep_lane WHERE subscription_id = s.name ORDER BY next_at LIMIT 1) AS lane
) AS lanes
CROSS JOIN LATERAL (
    SELECT count(*) AS has_any
    FROM (SELECT FROM lockstep_deadletter WHERE subscription_id = s.name AND outcome IS NULL
          ORDER BY died LIMIT 1) AS letter
) AS dead
WHERE strpos(s.name, ':') > 0
GROUP BY family
ORDER BY family;

-- name: page
-- The subscriptions after a name: those of one family, or those of none.
SELECT * FROM lockstep_subscription
WHERE name > %(after)s
  AND CASE WHEN %(family)s::text IS NULL THEN strpos(name, ':') = 0
           ELSE strpos(name, ':') > 0 AND split_part(name, ':', 1) = %(family)s END
  AND (%(contains)s::text IS NULL OR strpos(lower(name), lower(%(contains)s)) > 0)
  AND (%(state)s::text IS NULL OR state = %(state)s OR %(state)s = 'silent' AND silent_since IS NOT NULL)
ORDER BY name
LIMIT %(limit)s

-- name: one
SELECT * FROM lockstep_subscription WHERE name = %(name)s

-- name: next_unplaced
-- The next changes that are not fanned out at `place`: the first entries of the index on (xid, seq) from its snapshot on,
-- where lockstep_unplaced reads all. Of transactions that ran at the snapshot only ended ones are read, as by the relay.
-- While a window is open these are the changes from its next number on, without the few that were numbered earlier and
-- committed late.
SELECT c.* FROM (
    (SELECT c.seq, c.model, c.kind, c.origin, c.at FROM lockstep_change c
     WHERE place.window_end IS NULL AND c.xid >= pg_snapshot_xmax(place.window_start)
     ORDER BY c.xid, c.seq LIMIT %(most)s)
    UNION ALL
    (SELECT c.seq, c.model, c.kind, c.origin, c.at FROM lockstep_change c
     WHERE place.window_end IS NULL AND c.xid = ANY (ARRAY(
         SELECT xid FROM pg_snapshot_xip(place.window_start) AS xid
         WHERE pg_visible_in_snapshot(xid, pg_current_snapshot())))
     ORDER BY c.xid, c.seq LIMIT %(most)s)
    UNION ALL
    (SELECT c.seq, c.model, c.kind, c.origin, c.at FROM lockstep_change c
     WHERE place.window_end IS NOT NULL AND c.seq >= place.window_seq
     ORDER BY c.seq LIMIT %(most)s)
) AS c
LIMIT %(most)s

-- name: states
-- Each of the {chosen} subscriptions with what waits for it. `scanned` are the changes read at its place, `behind` those of
-- them that it follows, and `in_lanes` those that wait in lanes. Subscriptions at one place share what is read of it.
WITH chosen AS MATERIALIZED (
    {chosen}
), unplaced AS MATERIALIZED (
    SELECT place.id AS place_id, c.model, c.kind, c.origin, count(*) AS changes, min(c.at) AS oldest
    FROM lockstep_place place CROSS JOIN LATERAL ({include next_unplaced}) AS c
    WHERE place.id IN (SELECT place_id FROM chosen WHERE state <> 'disabled')
    GROUP BY place.id, c.model, c.kind, c.origin
)
SELECT s.name, s.kind, s.state, s.reason, s.follows, s.skip_origin, s.cap, s.created, s.silent_since, s.silent_cause,
       place.window_seq, place.window_last, coalesce(scanned.count, 0), coalesce(behind.count, 0), lanes.objects,
       lanes.failing, waiting.count, least(behind.oldest, waiting.oldest), lanes.next_at, dead.count, now()
FROM chosen s
JOIN lockstep_place place ON place.id = s.place_id
CROSS JOIN LATERAL (SELECT sum(changes)::bigint AS count FROM unplaced WHERE unplaced.place_id = s.place_id) AS scanned
CROSS JOIN LATERAL (
    SELECT sum(changes)::bigint AS count, min(oldest) AS oldest FROM unplaced
    WHERE unplaced.place_id = s.place_id AND s.state <> 'disabled'
      AND lockstep_followed(s.follows, unplaced.model, unplaced.kind)
      AND (s.skip_origin IS NULL OR unplaced.origin IS DISTINCT FROM s.skip_origin)
) AS behind
CROSS JOIN LATERAL (
    SELECT count(*) AS objects, count(*) FILTER (WHERE failure IS NOT NULL) AS failing,
           min(next_at) FILTER (WHERE failure IS NOT NULL) AS next_at
    FROM (SELECT failure, next_at FROM lockstep_lane lane WHERE lane.subscription_id = s.name
          ORDER BY lane.next_at DESC LIMIT %(most)s) AS lane
) AS lanes
CROSS JOIN LATERAL (
    SELECT count(*) AS count, min(at) AS oldest
    FROM (SELECT d.at FROM lockstep_lane lane JOIN lockstep_delivery d ON d.lane_id = lane.id
          WHERE lane.subscription_id = s.name ORDER BY lane.next_at LIMIT %(most)s) AS delivery
) AS waiting
CROSS JOIN LATERAL (
    SELECT count(*) AS count
    FROM (SELECT FROM lockstep_deadletter letter WHERE letter.subscription_id = s.name AND letter.outcome IS NULL
          ORDER BY letter.died LIMIT %(most)s) AS letter
) AS dead
ORDER BY s.name;

-- name: waiting_times
-- How many of the changes that wait have waited how long: by the number of the %(bounds)s (seconds) that they have passed,
-- those in lanes and those still in the log alone.
WITH waiting AS (
    SELECT d.at, true AS is_in_lane FROM (
        SELECT d.at FROM lockstep_lane lane JOIN lockstep_delivery d ON d.lane_id = lane.id
        WHERE lane.subscription_id = %(name)s ORDER BY lane.next_at LIMIT %(most)s
    ) AS d
    UNION ALL
    SELECT c.at, false
    FROM lockstep_subscription s JOIN lockstep_place place ON place.id = s.place_id
    CROSS JOIN LATERAL ({include next_unplaced}) AS c
    WHERE s.name = %(name)s AND s.state <> 'disabled' AND lockstep_followed(s.follows, c.model, c.kind)
      AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
)
SELECT width_bucket(extract(epoch FROM now() - at)::float8, %(bounds)s::float8[]),
       count(*) FILTER (WHERE is_in_lane), count(*) FILTER (WHERE NOT is_in_lane)
FROM waiting
GROUP BY 1;

-- name: failing
-- Objects whose last attempt failed, the next ones to be tried first. Lanes that wait for their time are read from now on,
-- and those that are due already backwards from now.
SELECT lane.model, lane.object_id, lane.failure, coalesce(lane.cause, ''), lane.attempts, lane.next_at, waiting.count
FROM (
    (SELECT * FROM lockstep_lane WHERE subscription_id = %(name)s AND next_at > now() ORDER BY next_at LIMIT %(most)s)
    UNION ALL
    (SELECT * FROM lockstep_lane WHERE subscription_id = %(name)s AND next_at <= now()
     ORDER BY next_at DESC LIMIT %(most)s)
) AS lane
CROSS JOIN LATERAL (
    SELECT count(*) AS count
    FROM (SELECT FROM lockstep_delivery d WHERE d.lane_id = lane.id ORDER BY d.seq LIMIT %(most)s) AS delivery
) AS waiting
WHERE lane.failure IS NOT NULL
ORDER BY lane.next_at, lane.id
LIMIT %(limit)s;

-- name: attempts
-- The latest attempts of a subscription that records them.
SELECT id, message_id, model, object_id, kind, number, began, seconds, failure, coalesce(cause, '')
FROM lockstep_attempt WHERE subscription_id = %(name)s ORDER BY id DESC LIMIT %(limit)s;

-- name: extent
-- What a rewind would send again. The first %(most)s changes from that time on are read: those of them that are followed,
-- and their objects and times. `first` and `last` are numbers of changes of all models.
WITH edge AS MATERIALIZED (
    SELECT (SELECT min(c.seq) FROM lockstep_change c WHERE c.at >= %(since)s) AS first,
           (SELECT max(c.seq) FROM lockstep_change c) AS last
), scanned AS MATERIALIZED (
    SELECT c.model, c.object_id, c.kind, c.origin, c.at FROM lockstep_change c
    WHERE c.seq >= (SELECT first FROM edge) ORDER BY c.seq LIMIT %(most)s
), followed AS (
    SELECT scanned.* FROM scanned JOIN lockstep_subscription s ON s.name = %(name)s
    WHERE lockstep_followed(s.follows, scanned.model, scanned.kind)
      AND (s.skip_origin IS NULL OR scanned.origin IS DISTINCT FROM s.skip_origin)
)
SELECT (SELECT first FROM edge), (SELECT last FROM edge), (SELECT count(*) FROM scanned), count(*),
       count(DISTINCT (model, object_id)), min(at), max(at)
FROM followed;

-- name: attempts_by_minute
-- Recorded attempts of the last hour by minute: those that succeeded, those that failed. The latest %(most)s are read.
SELECT date_trunc('minute', began), count(*) FILTER (WHERE failure IS NULL), count(*) FILTER (WHERE failure IS NOT NULL)
FROM (SELECT began, failure FROM lockstep_attempt WHERE subscription_id = %(name)s ORDER BY id DESC LIMIT %(most)s) AS tried
WHERE began > now() - interval '1 hour'
GROUP BY 1
ORDER BY 1;
