-- What operators ask and do. Statements with {chosen} are completed with one of the `chosen_…` ones, which name changes
-- as (seq, at) of one subscription. Whoever places deliveries holds the subscription's row, as the relay does.

-- name: status
-- Every subscription: how far it is and what waits. `behind` is committed and not in the lanes yet, `waiting` is in them.
SELECT s.name, s.kind, s.state, s.reason, behind.count AS behind, waiting.count AS waiting, lanes.count AS objects,
       lanes.failing, dead.count AS dead, extract(epoch FROM now() - least(behind.oldest, waiting.oldest))::float8 AS age
FROM delivery_subscription s
CROSS JOIN LATERAL (
    SELECT count(*), min(c.at) AS oldest FROM changes_change c
    WHERE (c.xid >= pg_snapshot_xmax(s.window_start) OR c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(s.window_start))))
      AND (s.window_end IS NULL OR c.seq >= s.window_seq OR NOT pg_visible_in_snapshot(c.xid, s.window_end))
      AND delivery_followed(s.follows, c.model, c.kind) AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
) AS behind
CROSS JOIN LATERAL (
    SELECT count(*), count(*) FILTER (WHERE failure IS NOT NULL) AS failing
    FROM delivery_lane lane WHERE lane.subscription_id = s.name
) AS lanes
CROSS JOIN LATERAL (
    SELECT count(*), min(d.at) AS oldest
    FROM delivery_lane lane JOIN delivery_delivery d ON d.lane_id = lane.id WHERE lane.subscription_id = s.name
) AS waiting
CROSS JOIN LATERAL (
    SELECT count(*) FROM delivery_deadletter letter WHERE letter.subscription_id = s.name AND letter.outcome IS NULL
) AS dead
ORDER BY s.name;

-- name: lock
-- Keeps the relay out until this transaction ends; no row when there is no such subscription.
SELECT name FROM delivery_subscription WHERE name = %(subscription)s FOR NO KEY UPDATE;

-- name: letters
-- Dead letters that nobody has settled, oldest first. What is not asked for is NULL.
SELECT id, model, object_id, seq, at, message_id, attempts, cause, died
FROM delivery_deadletter
WHERE subscription_id = %(subscription)s AND outcome IS NULL
  AND (%(letters)s::uuid[] IS NULL OR id = ANY (%(letters)s))
  AND (%(model)s::text IS NULL OR model = %(model)s)
  AND (%(object_id)s::text IS NULL OR object_id = %(object_id)s)
  AND (%(cause)s::text IS NULL OR strpos(lockstep_fold(cause), lockstep_fold(%(cause)s::text)) > 0)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
ORDER BY died, seq
LIMIT %(limit)s;

-- name: settle_letters
-- Of those that were chosen, the ones that nobody settled meanwhile.
UPDATE delivery_deadletter SET outcome = %(outcome)s, reason = %(reason)s, settled = now()
WHERE id = ANY (%(letters)s) AND outcome IS NULL
RETURNING id;

-- name: chosen_letters
SELECT seq, at FROM delivery_deadletter WHERE id = ANY (%(letters)s)

-- name: chosen_change
SELECT %(seq)s::bigint AS seq, %(at)s::timestamptz AS at

-- name: find_message
-- Where a message is: among the dead letters that nobody has settled, else among the attempts.
SELECT seq, at, id AS letter FROM delivery_deadletter
WHERE subscription_id = %(subscription)s AND message_id = %(message_id)s AND outcome IS NULL
UNION ALL
SELECT seq, at, NULL FROM delivery_attempt
WHERE subscription_id = %(subscription)s AND message_id = %(message_id)s
ORDER BY letter NULLS LAST
LIMIT 1;

-- name: chosen_span
SELECT c.seq, c.at
FROM changes_change c JOIN delivery_subscription s ON s.name = %(subscription)s
WHERE c.at >= %(since)s AND (%(until)s::timestamptz IS NULL OR c.at < %(until)s)
  AND delivery_followed(s.follows, c.model, c.kind) AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
  AND (%(model)s::text IS NULL OR c.model = %(model)s)
  AND (%(object_id)s::text IS NULL OR c.object_id = %(object_id)s)

-- name: preview
-- What a replay would send: changes, objects, the first and the last time.
SELECT count(*), count(DISTINCT (c.model, c.object_id)), min(c.at), max(c.at)
FROM ({chosen}) AS chosen JOIN changes_change c USING (seq, at);

-- name: replay
-- Places the changes in their lanes again, whatever was delivered since: an object's earlier change goes out first. A
-- state subscription gets the latest state of each object instead, because an old one would undo it. A change that is
-- not fanned out yet is left to the relay. Lanes that wait after a failure are due at once. Returns what was placed.
WITH chosen AS MATERIALIZED (
    {chosen}
), wanted AS MATERIALIZED (
    SELECT s.kind, c.model, c.object_id, c.seq, c.at
    FROM chosen JOIN changes_change c USING (seq, at) JOIN delivery_subscription s ON s.name = %(subscription)s
    WHERE pg_visible_in_snapshot(c.xid, s.window_start)
), due AS MATERIALIZED (
    SELECT model, object_id, seq, at FROM wanted WHERE kind = 'event'
    UNION ALL
    SELECT object.model, object.object_id, latest.seq, latest.at
    FROM (SELECT DISTINCT model, object_id FROM wanted WHERE kind = 'state') AS object
    JOIN delivery_subscription s ON s.name = %(subscription)s
    CROSS JOIN LATERAL (
        SELECT c.seq, c.at FROM changes_change c
        WHERE c.object_id = object.object_id AND c.model = object.model
          AND pg_visible_in_snapshot(c.xid, s.window_start)
          AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
        ORDER BY c.seq DESC LIMIT 1
    ) AS latest
), lane AS (
    INSERT INTO delivery_lane (subscription_id, model, object_id)
    SELECT DISTINCT %(subscription)s, model, object_id FROM due ORDER BY model, object_id
    ON CONFLICT (subscription_id, model, object_id) DO UPDATE
    SET next_at = CASE WHEN delivery_lane.failure IS NULL THEN delivery_lane.next_at ELSE now() END,
        attempts = CASE WHEN delivery_lane.failure IS NULL THEN delivery_lane.attempts ELSE 0 END
    RETURNING id, model, object_id
), placed AS (
    INSERT INTO delivery_delivery (lane_id, seq, at)
    SELECT lane.id, due.seq, due.at FROM due JOIN lane USING (model, object_id)
    ON CONFLICT DO NOTHING
    RETURNING lane_id
)
SELECT (SELECT count(*) FROM placed), (SELECT count(*) FROM lane);

-- name: start_anew_if_disabled
UPDATE delivery_subscription
SET window_start = pg_current_snapshot(), window_end = NULL, window_seq = NULL, window_last = NULL, placed = 0
WHERE name = %(subscription)s AND state = 'disabled';

-- name: set_state
UPDATE delivery_subscription SET state = %(state)s, reason = %(reason)s WHERE name = %(subscription)s;

-- name: rewind_to
-- The number from which on everything goes out again; NULL when there is nothing. What is not fanned out yet belongs to
-- it however early its number was drawn.
SELECT min(seq) FROM (
    SELECT min(c.seq) AS seq FROM changes_change c WHERE c.at >= %(since)s
    UNION ALL
    SELECT min(c.seq) FROM changes_change c JOIN delivery_subscription s ON s.name = %(subscription)s
    WHERE c.xid >= pg_snapshot_xmax(s.window_start) OR c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(s.window_start)))
) AS first;

-- name: clear_from
-- What waits from there on comes again with the window.
DELETE FROM delivery_delivery d USING delivery_lane lane
WHERE lane.id = d.lane_id AND lane.subscription_id = %(subscription)s AND d.seq >= %(seq)s;

-- name: rewind
-- A window that begins before everything: no transaction is visible in '1:1:'. It is fanned out in chunks from that
-- number on, as any window that is under way.
UPDATE delivery_subscription
SET window_start = '1:1:'::pg_snapshot, window_end = pg_current_snapshot(), window_seq = %(seq)s,
    window_last = (SELECT max(seq) FROM changes_change)
WHERE name = %(subscription)s;

-- name: remove_deliveries
-- Lanes are locked first, and in their order, as a settlement locks them: otherwise each would wait for the other.
DELETE FROM delivery_delivery d USING (
    SELECT id FROM delivery_lane WHERE subscription_id = %(subscription)s ORDER BY model, object_id FOR UPDATE
) AS lane
WHERE lane.id = d.lane_id;

-- name: remove_lanes
DELETE FROM delivery_lane WHERE subscription_id = %(subscription)s;

-- name: remove_attempts
DELETE FROM delivery_attempt WHERE subscription_id = %(subscription)s;

-- name: remove_letters
-- After the lanes: who makes a letter holds its lane.
DELETE FROM delivery_deadletter WHERE subscription_id = %(subscription)s;

-- name: put_aside
INSERT INTO delivery_deadletter (subscription_id, model, object_id, seq, at, message_id, attempts, cause)
SELECT s.name, %(model)s, %(object_id)s, %(seq)s, %(at)s, %(message_id)s, %(attempts)s, %(cause)s
FROM delivery_subscription s
WHERE s.name = %(subscription)s AND NOT EXISTS (
    SELECT FROM delivery_deadletter letter
    WHERE letter.subscription_id = s.name AND letter.message_id = %(message_id)s AND letter.outcome IS NULL);

-- name: subscribe
-- A family's member. Its place begins with the transaction that makes it: whatever commits later is in its first window.
INSERT INTO delivery_subscription (name, kind, follows, skip_origin, cap, keeps_log)
VALUES (%(name)s, %(kind)s, %(follows)s, %(skip_origin)s, %(cap)s, false)
ON CONFLICT (name) DO UPDATE SET follows = excluded.follows, cap = excluded.cap;

-- name: send
-- A change that only this subscription gets. It bears the origin that the subscription skips, so that no fan-out places it
-- a second time.
WITH change AS (
    INSERT INTO changes_change (model, object_id, kind, after, origin)
    SELECT %(model)s, %(object_id)s, 'created', %(after)s::jsonb, skip_origin
    FROM delivery_subscription WHERE name = %(subscription)s AND skip_origin IS NOT NULL
    RETURNING seq, at
), lane AS (
    INSERT INTO delivery_lane (subscription_id, model, object_id)
    VALUES (%(subscription)s, %(model)s, %(object_id)s)
    ON CONFLICT (subscription_id, model, object_id) DO UPDATE SET token = delivery_lane.token
    RETURNING id
)
INSERT INTO delivery_delivery (lane_id, seq, at) SELECT lane.id, change.seq, change.at FROM lane, change
RETURNING seq;

-- name: remove_subscription
DELETE FROM delivery_subscription WHERE name = %(subscription)s;
