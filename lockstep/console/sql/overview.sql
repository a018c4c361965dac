-- What the overview reads. Families are one line each, named like the label of their metrics. Counts stop at a limit: a page
-- that is loaded every few seconds must cost little when much waits.

-- name: subscriptions
-- Each line with its subscriptions by state, the reason of one that is stopped, and how many remotes do not answer.
SELECT split_part(name, ':', 1) AS line, bool_or(strpos(name, ':') > 0) AS is_family, count(*),
       count(*) FILTER (WHERE state = 'paused'), count(*) FILTER (WHERE state = 'full'),
       count(*) FILTER (WHERE state = 'disabled'), coalesce(min(reason) FILTER (WHERE state <> 'active'), ''),
       count(silent_since) FILTER (WHERE state <> 'disabled'), min(silent_since) FILTER (WHERE state <> 'disabled'),
       coalesce((array_agg(silent_cause ORDER BY silent_since) FILTER (WHERE silent_since IS NOT NULL))[1], '')
FROM lockstep_subscription
GROUP BY line ORDER BY line;

-- name: behind
-- Changes that are committed and in no lane yet, by line, with the time of the oldest, and whether there may be more after
-- those that were read, whether these are followed or not. Subscriptions with the same place and
-- patterns are counted once. The two parts of `pending` are lockstep_unplaced (delivery/sql/schema.sql) in the order of an index:
-- with a limit over the whole of it the planner reads the log from its beginning.
WITH wanted AS MATERIALIZED (
    SELECT split_part(name, ':', 1) AS line, place_id, follows, skip_origin, count(*) AS members
    FROM lockstep_subscription WHERE state <> 'disabled' GROUP BY 1, 2, 3, 4
), unplaced AS MATERIALIZED (
    SELECT place.id AS place_id, c.model, c.kind, c.origin, count(*) AS changes, min(c.at) AS oldest
    FROM lockstep_place place CROSS JOIN LATERAL (
        (SELECT pending.model, pending.kind, pending.origin, pending.at FROM lockstep_change pending
         WHERE pending.xid >= pg_snapshot_xmax(place.window_start)
           AND NOT lockstep_is_placed(place, pending.xid, pending.seq)
         ORDER BY pending.xid, pending.seq LIMIT %(limit)s)
        UNION ALL
        (SELECT pending.model, pending.kind, pending.origin, pending.at
         FROM pg_snapshot_xip(place.window_start) AS running (xid) CROSS JOIN LATERAL (
             SELECT model, kind, origin, at FROM lockstep_change written
             WHERE written.xid = running.xid AND NOT lockstep_is_placed(place, written.xid, written.seq)
             ORDER BY written.seq LIMIT %(limit)s
         ) AS pending)
    ) AS c
    WHERE place.id IN (SELECT place_id FROM wanted)
    GROUP BY place.id, c.model, c.kind, c.origin
)
SELECT wanted.line, coalesce(sum(unplaced.changes * wanted.members) FILTER (WHERE is_followed), 0)::bigint,
       min(unplaced.oldest) FILTER (WHERE is_followed), bool_or(read.changes >= %(limit)s)
FROM wanted
JOIN unplaced USING (place_id)
JOIN (SELECT place_id, sum(changes) AS changes FROM unplaced GROUP BY place_id) AS read USING (place_id)
CROSS JOIN LATERAL (
    SELECT lockstep_followed(wanted.follows, unplaced.model, unplaced.kind)
       AND (wanted.skip_origin IS NULL OR unplaced.origin IS DISTINCT FROM wanted.skip_origin) AS is_followed
) AS one
GROUP BY wanted.line;

-- name: waiting
-- Changes and objects in lanes, by line, with the time of the oldest change and a failure's message, and how many members
-- of families were read; of these the first so many with lanes are, which are found by one descent of the index each. Lanes
-- that wait for another attempt come first.
WITH RECURSIVE named AS (
    (SELECT subscription_id AS name FROM lockstep_lane ORDER BY subscription_id LIMIT 1)
    UNION ALL
    SELECT (SELECT lane.subscription_id FROM lockstep_lane lane
            WHERE lane.subscription_id > named.name ORDER BY lane.subscription_id LIMIT 1)
    FROM named WHERE named.name IS NOT NULL
)
SELECT split_part(named.name, ':', 1) AS line, count(*) FILTER (WHERE strpos(named.name, ':') > 0), sum(lanes.objects)::bigint, sum(lanes.failing)::bigint,
       coalesce(min(lanes.cause), ''), sum(deliveries.waiting)::bigint, min(deliveries.oldest),
       bool_or(lanes.objects >= %(limit)s OR deliveries.waiting >= %(limit)s)
FROM (
    SELECT name FROM lockstep_subscription WHERE strpos(name, ':') = 0
    UNION ALL
    (SELECT name FROM named WHERE strpos(name, ':') > 0 LIMIT %(names)s)
) AS named
CROSS JOIN LATERAL (
    SELECT count(*) AS objects, count(failure) AS failing, min(cause) FILTER (WHERE failure IS NOT NULL) AS cause
    FROM (SELECT failure, cause FROM lockstep_lane lane WHERE lane.subscription_id = named.name
          ORDER BY next_at DESC LIMIT %(limit)s) AS lane
) AS lanes
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting, min(at) AS oldest
    FROM (SELECT d.at FROM lockstep_lane lane JOIN lockstep_delivery d ON d.lane_id = lane.id
          WHERE lane.subscription_id = named.name ORDER BY lane.next_at LIMIT %(limit)s) AS delivery
) AS deliveries
GROUP BY line;

-- name: dead
-- Open dead letters, by line, and when the latest died; of families as above.
WITH RECURSIVE named AS (
    (SELECT subscription_id AS name FROM lockstep_deadletter WHERE outcome IS NULL ORDER BY subscription_id LIMIT 1)
    UNION ALL
    SELECT (SELECT letter.subscription_id FROM lockstep_deadletter letter
            WHERE letter.outcome IS NULL AND letter.subscription_id > named.name
            ORDER BY letter.subscription_id LIMIT 1)
    FROM named WHERE named.name IS NOT NULL
)
SELECT split_part(named.name, ':', 1) AS line, count(*) FILTER (WHERE strpos(named.name, ':') > 0), sum(letters.open)::bigint, max(letters.latest)
FROM (
    SELECT name FROM lockstep_subscription WHERE strpos(name, ':') = 0
    UNION ALL
    (SELECT name FROM named WHERE strpos(name, ':') > 0 LIMIT %(names)s)
) AS named
CROSS JOIN LATERAL (
    SELECT count(*) AS open, max(died) AS latest
    FROM (SELECT died FROM lockstep_deadletter letter
          WHERE letter.subscription_id = named.name AND letter.outcome IS NULL ORDER BY died DESC LIMIT %(limit)s) AS letter
) AS letters
GROUP BY line;

-- name: last_change
-- The log's last change.
SELECT seq, at FROM lockstep_change ORDER BY seq DESC LIMIT 1;

-- name: log
-- The log's bytes with its indexes, its rows as PostgreSQL estimates them, its weeks, and the database's time.
SELECT coalesce(sum(pg_total_relation_size(child.oid)), 0)::bigint, coalesce(sum(greatest(child.reltuples, 0)), 0)::bigint,
       count(*) FILTER (WHERE child.reltuples > 0 OR pg_relation_size(child.oid) > 0), clock_timestamp()
FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
WHERE inhparent = 'lockstep_change'::regclass;
