-- The life of one object: its changes, and where each of them is. The statements about deliveries take the numbers of the
-- changes on one page, and are as many for 10,000 subscriptions as for one: members of a family (webhook endpoints) are
-- one row. A family is named in `families`, and its members are "<family>:<key>".

-- name: changes
-- A page of an object's changes, newest first, by the index on (object_id, seq).
SELECT seq, at, model, object_id, kind, before, after, actor, origin, trace, xid::text
FROM lockstep_change
WHERE object_id = %(object_id)s AND model = ANY (%(models)s::text[]) AND seq < %(before)s
ORDER BY seq DESC
LIMIT %(limit)s;

-- name: family
-- The name of the family to which the subscription {name} belongs; NULL for one of its own.
CASE WHEN strpos({name}, ':') > 0 AND split_part({name}, ':', 1) = ANY (%(families)s::text[]) THEN split_part({name}, ':', 1) END

-- name: followers
-- The subscriptions that follow one of these patterns, by the index on patterns, and the members of a family in as many
-- rows as there are different options. `names` are some of them.
SELECT coalesce(family, name) AS target, family IS NOT NULL AS is_family, kind, state, any_value(reason) AS reason,
       follows, skip_origin, min(created) AS created, count(*) AS members, (array_agg(name))[1:%(members)s] AS names
FROM (
    SELECT s.*, {family} AS family FROM lockstep_subscription s WHERE s.follows && %(patterns)s::text[]
) AS follower
GROUP BY family, coalesce(family, name), kind, state, follows, skip_origin
ORDER BY is_family, target, members DESC;

-- name: page
-- The changes of a page.
SELECT seq, model, kind, origin, xid::xid8 AS xid
FROM jsonb_to_recordset(%(changes)s::jsonb) AS change (seq bigint, model text, kind text, origin text, xid text)

-- name: unplaced
-- Which changes are not fanned out yet, by target, and for how many subscriptions. Many of them share a place, so places
-- are compared first.
WITH change AS MATERIALIZED (
    {include page}
), follower AS MATERIALIZED (
    SELECT s.*, {family} AS family FROM lockstep_subscription s
    WHERE s.follows && %(patterns)s::text[] AND s.state <> 'disabled'
), unplaced AS MATERIALIZED (
    SELECT place.id AS place_id, change.seq, change.model, change.kind, change.origin
    FROM lockstep_place place CROSS JOIN change
    WHERE place.id IN (SELECT place_id FROM follower) AND NOT lockstep_is_placed(place, change.xid, change.seq)
)
SELECT coalesce(follower.family, follower.name), unplaced.seq, count(*)
FROM unplaced JOIN follower USING (place_id)
WHERE lockstep_followed(follower.follows, unplaced.model, unplaced.kind)
  AND (follower.skip_origin IS NULL OR unplaced.origin IS DISTINCT FROM follower.skip_origin)
GROUP BY 1, 2;

-- name: waiting
-- What waits in the object's lanes, between the first and the last change of the page. A claimed lane is being delivered.
-- `head` is the change that a lane delivers next; of families, whose lanes may be thousands, it is not looked up.
SELECT coalesce(family, name) AS target, seq, count(*) AS waiting, count(failure) AS failing,
       count(*) FILTER (WHERE is_claimed) AS claimed, max(attempts) AS attempts, any_value(failure) AS failure,
       any_value(cause) FILTER (WHERE failure IS NOT NULL) AS cause,
       extract(epoch FROM min(next_at) - clock_timestamp())::float8 AS due_in, min(head) AS head,
       (array_agg(name ORDER BY failure IS NULL))[1:%(members)s] AS names
FROM (
    SELECT lane.name, lane.family, d.seq, head.seq AS head, lane.attempts, lane.next_at, lane.failure, lane.cause,
           lane.failure IS NULL AND lane.token <> 0 AND lane.next_at > clock_timestamp() AS is_claimed
    FROM (
        SELECT s.name, {family} AS family, s.kind, lane.*
        FROM lockstep_subscription s
        JOIN lockstep_lane lane
          ON lane.subscription_id = s.name AND lane.model = ANY (%(models)s::text[]) AND lane.object_id = %(object_id)s
    ) AS lane
    CROSS JOIN LATERAL (  -- OFFSET keeps PostgreSQL from reading all deliveries once for all lanes
        SELECT seq FROM lockstep_delivery
        WHERE lane_id = lane.id AND seq BETWEEN %(first)s AND %(last)s OFFSET 0
    ) AS d
    LEFT JOIN LATERAL (
        SELECT CASE lane.kind WHEN 'event' THEN min(seq) ELSE max(seq) END AS seq
        FROM lockstep_delivery WHERE lane_id = lane.id AND lane.family IS NULL
    ) AS head ON true
) AS found
GROUP BY family, coalesce(family, name), seq;

-- name: letters
-- The dead letters of these changes: of each target the newest open one, else the newest, and how many are open.
SELECT DISTINCT ON (target, seq)
       target, seq, count(*) FILTER (WHERE outcome IS NULL) OVER same AS open, id, name, attempts, cause, died, outcome,
       reason, settled
FROM (
    SELECT letter.*, letter.subscription_id AS name, coalesce({family}, letter.subscription_id) AS target
    FROM lockstep_deadletter letter
    WHERE letter.object_id = %(object_id)s AND letter.model = ANY (%(models)s::text[])
      AND letter.seq = ANY (%(seqs)s::bigint[])
) AS found
WINDOW same AS (PARTITION BY target, seq)
ORDER BY target, seq, outcome IS NOT NULL, id DESC;

-- name: first_epoch
SELECT id FROM lockstep_epoch ORDER BY number LIMIT 1;

-- name: attempts
-- The latest attempts at each of these messages, newest first.
SELECT subscription_id, seq, number, began, seconds, failure, cause, receipt ->> 'status'
FROM (
    SELECT attempt.*, row_number() OVER (PARTITION BY message_id ORDER BY id DESC) AS place
    FROM lockstep_attempt attempt WHERE message_id = ANY (%(messages)s::uuid[])
) AS numbered
WHERE place <= %(limit)s
ORDER BY id DESC;
