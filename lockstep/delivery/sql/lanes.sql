-- Lanes: one for each (subscription, object) that has something to deliver. Workers claim lanes, not changes, which is
-- what keeps an object's changes in order. All times are the database's.
--
-- A claim is a lease: next_at moves past the deadline, and a new token is drawn, at random: a number of a sequence could
-- come again after a crash, because a claim does not wait for the disk. Whoever comes back with another token than the
-- lane's has lost it and changes nothing. A lane that failed waits with `failure` set until its next_at; `attempts` is how
-- many tries have used up the schedule, and is raised by the settlement alone: who dies has not tried.
--
-- A lane's row is written several times in its short life, and as long as somebody holds a transaction open PostgreSQL
-- keeps every version, in the index too. So a look for due lanes starts where the last one was found (`from`), not at the
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
    SELECT id, next_at, failure FROM delivery_lane
    WHERE subscription_id = %(subscription)s AND next_at <= now() AND next_at >= %(from)s
      AND EXISTS (SELECT FROM delivery_subscription s WHERE s.name = %(subscription)s AND s.state IN ('active', 'full'))
    ORDER BY next_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE delivery_lane lane
SET token = delivery_draw_token(), next_at = clock_timestamp() + %(lease)s, failure = NULL
FROM due, set_config('synchronous_commit', 'off', true)
WHERE lane.id = due.id
RETURNING lane.id, lane.token, due.next_at, coalesce(due.failure = 'brought forward', false);

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
-- latest, which absorbs those before it. Whether it is the one or the other stands in the subscription's row, is read in
-- this one statement, and goes with the claim to its settlement. Runs after the claim, whose snapshot may be older than
-- the claim. The change's own columns are NULL where the log does not have it any more.
SELECT lane.id, lane.token, lane.attempts, s.kind, s.silent_since IS NOT NULL, extract(epoch FROM clock_timestamp())::float8,
       head.seq, head.at, lane.model, lane.object_id, c.kind, c.before, c.after, c.actor, c.origin, c.trace
FROM delivery_subscription s
CROSS JOIN delivery_lane lane
CROSS JOIN LATERAL (
    (SELECT seq, at FROM delivery_delivery WHERE lane_id = lane.id AND s.kind = 'event' ORDER BY seq LIMIT 1)
    UNION ALL
    (SELECT seq, at FROM delivery_delivery WHERE lane_id = lane.id AND s.kind = 'state' ORDER BY seq DESC LIMIT 1)
) head
LEFT JOIN changes_change c ON c.seq = head.seq AND c.at = head.at
WHERE s.name = %(subscription)s AND lane.id = ANY (%(lanes)s::bigint[]);

-- name: go_by_index
-- For the rest of a transaction whose handler wanted other plans than the statements here.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);

-- name: lock_claimed
-- First statement of every settlement: the lanes of these claims that are still theirs, locked against fan-out. Fan-out
-- locks lanes in the same order, so neither waits for the other in a circle.
SELECT lane.id, lane.token
FROM delivery_lane lane
JOIN unnest(%(lanes)s::bigint[], %(tokens)s::bigint[]) AS claim (lane_id, token)
  ON claim.lane_id = lane.id AND claim.token = lane.token
ORDER BY lane.subscription_id, lane.model, lane.object_id
FOR UPDATE OF lane;

-- name: bury
-- The head of a lane becomes a dead letter; the lane goes on behind it.
INSERT INTO delivery_deadletter (subscription_id, model, object_id, seq, at, message_id, attempts, cause)
SELECT lane.subscription_id, lane.model, lane.object_id, dead.seq, dead.at, dead.message_id, dead.attempts, dead.cause
FROM unnest(%(lanes)s::bigint[], %(seqs)s::bigint[], %(ats)s::timestamptz[], %(message_ids)s::uuid[],
            %(attempts)s::int[], %(causes)s::text[]) AS dead (lane_id, seq, at, message_id, attempts, cause)
JOIN delivery_lane lane ON lane.id = dead.lane_id;

-- name: remove_delivered
-- What was delivered. A state delivery takes the earlier changes along, which it absorbed; of an event subscription an
-- earlier one is there when it was replayed meanwhile. Which it was, its claim says: the subscription's kind may be
-- another one by now, and the earlier changes would then come after this one.
DELETE FROM delivery_delivery d
USING unnest(%(lanes)s::bigint[], %(seqs)s::bigint[], %(absorbs)s::boolean[]) AS done (lane_id, seq, absorbs)
WHERE d.lane_id = done.lane_id AND (d.seq = done.seq OR done.absorbs AND d.seq < done.seq);

-- name: absorb
-- What came before a state that was sent and may have arrived, whatever its sender heard: where the subscription gets
-- each change from now on, it goes on behind that state.
DELETE FROM delivery_delivery d
USING unnest(%(lanes)s::bigint[], %(seqs)s::bigint[]) AS tried (lane_id, seq)
WHERE d.lane_id = tried.lane_id AND d.seq < tried.seq;

-- name: free
-- Lanes with more to deliver are due at once. Runs after lock_claimed, so that its snapshot sees all fan-out.
UPDATE delivery_lane SET next_at = clock_timestamp(), attempts = 0, failure = NULL, cause = NULL
WHERE id = ANY (%(lanes)s::bigint[]) AND EXISTS (SELECT FROM delivery_delivery d WHERE d.lane_id = delivery_lane.id);

-- name: retire
-- Lanes with nothing left go; the next change of the object makes a new one.
DELETE FROM delivery_lane
WHERE id = ANY (%(lanes)s::bigint[]) AND NOT EXISTS (SELECT FROM delivery_delivery d WHERE d.lane_id = delivery_lane.id);

-- name: postpone
-- Lanes that failed wait; `failure` says in which way, `cause` why, and `counts` whether that used up an attempt. One that
-- waits for something else to be delivered waits half as long as its change is old, 0.1 to 30 s.
UPDATE delivery_lane lane
SET failure = failed.failure, cause = failed.cause, attempts = lane.attempts + failed.counts::int,
    next_at = clock_timestamp() + CASE failed.failure
        WHEN 'not yet' THEN least(greatest((clock_timestamp() - failed.at) / 2, interval '0.1 s'), interval '30 s')
        ELSE make_interval(secs => failed.delay) END
FROM unnest(%(lanes)s::bigint[], %(ats)s::timestamptz[], %(delays)s::float8[], %(counts)s::boolean[],
            %(failures)s::text[], %(causes)s::text[]) AS failed (lane_id, at, delay, counts, failure, cause)
WHERE lane.id = failed.lane_id;

-- name: probe
-- While a remote does not answer, one waiting lane tries again early.
UPDATE delivery_lane SET next_at = now(), failure = 'brought forward'
WHERE id = (
    SELECT id FROM delivery_lane
    WHERE subscription_id = %(subscription)s AND failure = 'unreachable' AND next_at > now()
    ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
);

-- name: wake
-- The remote answers again: what waited for it need not wait longer. As many as it gets at once go at once, the others
-- within some seconds: it has just come back, and may be gone again.
UPDATE delivery_lane lane SET failure = 'brought forward', next_at = least(lane.next_at,
    now() + %(seconds)s * greatest(0, waiting.place - %(at_once)s) / greatest(1, waiting.total - %(at_once)s))
FROM (
    SELECT id, row_number() OVER (ORDER BY next_at) AS place, count(*) OVER () AS total
    FROM (
        SELECT id, next_at FROM delivery_lane
        WHERE subscription_id = %(subscription)s AND failure = 'unreachable' AND next_at > now()
        FOR UPDATE SKIP LOCKED
    ) AS found
) AS waiting
WHERE lane.id = waiting.id;

-- name: note_silence
-- The remote does not answer, since so many seconds by the database's clock.
UPDATE delivery_subscription
SET silent_since = clock_timestamp() - make_interval(secs => %(ago)s), silent_cause = %(cause)s
WHERE name = %(subscription)s AND silent_since IS NULL;

-- name: note_cause
UPDATE delivery_subscription SET silent_cause = %(cause)s
WHERE name = %(subscription)s AND silent_since IS NOT NULL AND silent_cause <> %(cause)s;

-- name: note_answer
UPDATE delivery_subscription SET silent_since = NULL, silent_cause = ''
WHERE name = %(subscription)s AND silent_since IS NOT NULL;

-- name: record_attempts
-- What was tried, also by a claim that was lost meanwhile. `began` is so many seconds ago by the database's clock.
INSERT INTO delivery_attempt
    (subscription_id, message_id, model, object_id, kind, seq, at, number, began, seconds, failure, cause, receipt)
SELECT %(subscription)s, message_id, model, object_id, kind, seq, at, number,
       clock_timestamp() - make_interval(secs => ago), seconds, failure, cause, receipt
FROM jsonb_to_recordset(%(attempts)s::jsonb)
     AS tried (message_id uuid, model text, object_id text, kind text, seq bigint, at timestamptz, number int, ago float8,
               seconds float8, failure text, cause text, receipt jsonb);
