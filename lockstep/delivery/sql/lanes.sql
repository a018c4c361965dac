-- Lanes: one for each (subscription, object) that has something to deliver. Workers claim lanes, not changes, which is
-- what keeps an object's changes in order. All times are the database's.
--
-- A claim is a lease: next_at moves past the deadline, and a new token is drawn, at random: a number of a sequence could
-- come again after a crash, because a claim does not wait for the disk. Whoever comes back with another token than the
-- lane's has lost it and changes nothing. A lane that failed waits with `failure` set until its next_at.
--
-- A lane's row is written several times in its short life, and as long as somebody holds a transaction open PostgreSQL
-- keeps every version, in the index too. So who looks for due lanes starts where he last found one (`from`), not at the
-- beginning of the index.
--
-- These statements run on connections that always go by the indexes (database.py), or after go_by_index.

-- name: due
-- Subscriptions in whose lanes something is due soon, with the seconds until then; 0 or less when it is due. The index
-- on (subscription_id, next_at) answers each with one look, which begins at the moment given for its name.
SELECT s.name, extract(epoch FROM first.next_at - clock_timestamp())::float8
FROM delivery_subscription s
LEFT JOIN unnest(%(names)s::text[], %(from)s::timestamptz[]) AS known (name, next_at) ON known.name = s.name
CROSS JOIN LATERAL (
    SELECT next_at FROM delivery_lane lane
    WHERE lane.subscription_id = s.name AND lane.next_at >= coalesce(known.next_at, '-infinity')
      AND lane.next_at < now() + %(soon)s
    ORDER BY next_at LIMIT 1
) AS first
WHERE s.state IN ('active', 'full');

-- name: is_empty
SELECT NOT EXISTS (SELECT FROM delivery_lane WHERE subscription_id = %(subscription)s);

-- name: claim
-- Takes lanes that are due, longest waiting first; none of a subscription that stands still. Who crashes has claimed
-- nothing, so nobody need wait for the disk.
WITH due AS (
    SELECT id, next_at FROM delivery_lane
    WHERE subscription_id = %(subscription)s AND next_at <= now() AND next_at >= %(from)s
      AND EXISTS (SELECT FROM delivery_subscription s WHERE s.name = %(subscription)s AND s.state IN ('active', 'full'))
    ORDER BY next_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE delivery_lane lane
SET token = delivery_draw_token(), next_at = clock_timestamp() + %(lease)s, attempts = attempts + 1, failure = NULL
FROM due, set_config('synchronous_commit', 'off', true)
WHERE lane.id = due.id
RETURNING lane.id, lane.token, due.next_at;

-- name: hold
-- Takes the lane of one object whether or not anything waits in it; no row while somebody else has it.
INSERT INTO delivery_lane (subscription_id, model, object_id, token, next_at)
VALUES (%(subscription)s, %(model)s, %(object_id)s, delivery_draw_token(), clock_timestamp() + %(lease)s)
ON CONFLICT (subscription_id, model, object_id) DO UPDATE
SET token = excluded.token, next_at = excluded.next_at, failure = NULL
WHERE delivery_lane.next_at <= now() OR delivery_lane.failure IS NOT NULL
RETURNING id, token;

-- name: heads
-- What the claimed lanes have to deliver: of an event subscription the oldest change, of a state subscription the
-- latest, which absorbs those before it. Runs after the claim, whose snapshot may be older than the claim.
SELECT lane.id, lane.token, lane.attempts, c.seq, c.at, c.model, c.object_id, c.kind, c.before, c.after,
       c.actor, c.origin, c.trace
FROM delivery_lane lane
CROSS JOIN LATERAL (
    SELECT CASE WHEN %(latest)s THEN max(d.seq) ELSE min(d.seq) END AS seq
    FROM delivery_delivery d WHERE d.lane_id = lane.id
) head
JOIN delivery_delivery d ON d.lane_id = lane.id AND d.seq = head.seq
JOIN changes_change c ON c.seq = d.seq AND c.at = d.at
WHERE lane.id = ANY (%(lanes)s::bigint[]);

-- name: go_by_index
-- For the rest of a transaction whose handler wanted other plans than the statements here.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);

-- name: lock_claimed
-- First statement of every settlement: the lanes of these claims that are still theirs, locked against fan-out. Fan-out
-- locks lanes in the same order, so neither waits for the other in a circle.
SELECT lane.id
FROM delivery_lane lane
JOIN unnest(%(lanes)s::bigint[], %(tokens)s::bigint[]) AS claim (lane_id, token)
  ON claim.lane_id = lane.id AND claim.token = lane.token
ORDER BY lane.subscription_id, lane.model, lane.object_id
FOR UPDATE OF lane;

-- name: bury
-- The head of a lane becomes a dead letter; the lane goes on behind it.
INSERT INTO delivery_deadletter (subscription_id, model, object_id, seq, at, message_id, attempts, cause)
SELECT lane.subscription_id, lane.model, lane.object_id, dead.seq, dead.at, dead.message_id, lane.attempts, dead.cause
FROM unnest(%(lanes)s::bigint[], %(seqs)s::bigint[], %(ats)s::timestamptz[], %(message_ids)s::uuid[], %(causes)s::text[])
     AS dead (lane_id, seq, at, message_id, cause)
JOIN delivery_lane lane ON lane.id = dead.lane_id;

-- name: remove_delivered
-- What was delivered. A state delivery takes the earlier changes along, which it absorbed; of an event subscription an
-- earlier one is there when it was replayed meanwhile.
DELETE FROM delivery_delivery d
USING unnest(%(lanes)s::bigint[], %(seqs)s::bigint[]) AS done (lane_id, seq)
JOIN delivery_lane lane ON lane.id = done.lane_id
JOIN delivery_subscription s ON s.name = lane.subscription_id
WHERE d.lane_id = done.lane_id AND (d.seq = done.seq OR s.kind = 'state' AND d.seq < done.seq);

-- name: free
-- Lanes with more to deliver are due at once. Runs after lock_claimed, so that its snapshot sees all fan-out.
UPDATE delivery_lane SET next_at = clock_timestamp(), attempts = 0, failure = NULL, cause = NULL
WHERE id = ANY (%(lanes)s::bigint[]) AND EXISTS (SELECT FROM delivery_delivery d WHERE d.lane_id = delivery_lane.id);

-- name: retire
-- Lanes with nothing left go; the next change of the object makes a new one.
DELETE FROM delivery_lane
WHERE id = ANY (%(lanes)s::bigint[]) AND NOT EXISTS (SELECT FROM delivery_delivery d WHERE d.lane_id = delivery_lane.id);

-- name: postpone
-- Lanes that failed wait; `failure` says in which way, `cause` why. One that waits for something else to be delivered
-- has not really tried: the attempt does not count, and it waits half as long as its change is old, 0.1 to 30 s.
UPDATE delivery_lane lane
SET failure = failed.failure, cause = failed.cause,
    attempts = CASE failed.failure WHEN 'not yet' THEN lane.attempts - 1 ELSE lane.attempts END,
    next_at = clock_timestamp() + CASE failed.failure
        WHEN 'not yet' THEN least(greatest((clock_timestamp() - failed.at) / 2, interval '0.1 s'), interval '30 s')
        ELSE make_interval(secs => failed.delay) END
FROM unnest(%(lanes)s::bigint[], %(ats)s::timestamptz[], %(delays)s::float8[], %(failures)s::text[], %(causes)s::text[])
     AS failed (lane_id, at, delay, failure, cause)
WHERE lane.id = failed.lane_id;

-- name: probe
-- While a remote does not answer, one waiting lane tries again early; the try does not count against it.
UPDATE delivery_lane SET next_at = now(), attempts = greatest(attempts - 1, 0)
WHERE id = (
    SELECT id FROM delivery_lane
    WHERE subscription_id = %(subscription)s AND failure = 'unreachable' AND next_at > now()
    ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
);

-- name: wake
-- The remote answers again: what waited for it need not wait longer.
UPDATE delivery_lane SET next_at = now()
WHERE id IN (
    SELECT id FROM delivery_lane
    WHERE subscription_id = %(subscription)s AND failure = 'unreachable' AND next_at > now()
    FOR UPDATE SKIP LOCKED
);

-- name: record_attempts
-- What was tried, also by a claim that was lost meanwhile. `began` is so many seconds ago by the database's clock.
INSERT INTO delivery_attempt
    (subscription_id, message_id, model, object_id, kind, seq, at, number, began, seconds, failure, cause, receipt)
SELECT %(subscription)s, message_id, model, object_id, kind, seq, at, number,
       clock_timestamp() - make_interval(secs => ago), seconds, failure, cause, receipt
FROM jsonb_to_recordset(%(attempts)s::jsonb)
     AS tried (message_id uuid, model text, object_id text, kind text, seq bigint, at timestamptz, number int, ago float8,
               seconds float8, failure text, cause text, receipt jsonb);
