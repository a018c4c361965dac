-- Lanes: one for each (subscription, object) with changes to deliver. Workers claim lanes, not changes, which keeps an
-- object's changes in order. All times are the database's.
--
-- A claim is a lease: next_at moves past the deadline, and a new token is drawn, at random: a number of a sequence could
-- come again after a crash, because a claim does not wait for the disk. A settlement with another token than the lane's
-- changes nothing. A lane that failed waits with `failure` set until its next_at; `attempts` is how many attempts have used
-- up the schedule, and is raised by the settlement alone: a worker's crash uses up none.
--
-- A lane's row is written several times in its short life, and while any transaction stays open PostgreSQL keeps every
-- version, in the index too. So a scan for due lanes starts where the last one was found (`from`), not at the beginning of
-- the index.
--
-- These statements run on connections that always use indexes (database.py), or after go_by_index.

-- name: due
-- Subscriptions with lanes that are due soon, with the seconds until then; 0 or less when one is due. The index on
-- (subscription_id, next_at) finds each with one probe, which begins at the time given for its name.
SELECT s.name, extract(epoch FROM first.next_at - clock_timestamp())::float8
FROM lockstep_subscription s
LEFT JOIN unnest(%(names)s::text[], %(from)s::timestamptz[]) AS known (name, next_at) ON known.name = s.name
CROSS JOIN LATERAL (
    SELECT next_at FROM lockstep_lane lane
    WHERE lane.subscription_id = s.name AND lane.next_at >= coalesce(known.next_at, '-infinity')
      AND lane.next_at < now() + %(soon)s
    ORDER BY next_at LIMIT 1
) AS first
WHERE s.state IN ('active', 'full');

-- name: is_empty
SELECT NOT EXISTS (SELECT FROM lockstep_lane WHERE subscription_id = %(subscription)s);

-- name: claim
-- Claims due lanes, longest waiting first; none of a paused or disabled subscription. A crash undoes claims without harm,
-- so the commit does not wait for the disk.
WITH due AS (
    SELECT id, next_at, failure FROM lockstep_lane
    WHERE subscription_id = %(subscription)s AND next_at <= now() AND next_at >= %(from)s
      AND EXISTS (SELECT FROM lockstep_subscription s WHERE s.name = %(subscription)s AND s.state IN ('active', 'full'))
    ORDER BY next_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE lockstep_lane lane
SET token = lockstep_draw_token(), next_at = clock_timestamp() + %(lease)s, failure = NULL
FROM due, set_config('synchronous_commit', 'off', true)
WHERE lane.id = due.id
RETURNING lane.id, lane.token, due.next_at, coalesce(due.failure = 'brought forward', false);

-- name: hold
-- Claims the lane of one object whether or not it has changes; no row while another claim holds it.
INSERT INTO lockstep_lane (subscription_id, model, object_id, token, next_at)
VALUES (%(subscription)s, %(model)s, %(object_id)s, lockstep_draw_token(), clock_timestamp() + %(lease)s)
ON CONFLICT (subscription_id, model, object_id) DO UPDATE
SET token = excluded.token, next_at = excluded.next_at, failure = NULL
WHERE lockstep_lane.next_at <= now() OR lockstep_lane.failure IS NOT NULL
RETURNING id, token;

-- name: heads
-- The changes at the heads of the claimed lanes: of an event subscription the oldest, of a state subscription the latest,
-- which absorbs those before it. The kind is read from the subscription's row in this statement, and kept with the claim
-- until its settlement. Runs after the claim, whose own snapshot may be older. The change's columns are NULL where it is no
-- longer in the log.
SELECT lane.id, lane.token, lane.attempts, s.kind, s.silent_since IS NOT NULL, extract(epoch FROM clock_timestamp())::float8,
       head.seq, head.at, lane.model, lane.object_id, c.kind, c.before, c.after, c.actor, c.origin, c.trace,
       c.traceparent, c.xid::text::bigint
FROM lockstep_subscription s
CROSS JOIN lockstep_lane lane
CROSS JOIN LATERAL (
    (SELECT seq, at FROM lockstep_delivery WHERE lane_id = lane.id AND s.kind = 'event' ORDER BY seq LIMIT 1)
    UNION ALL
    (SELECT seq, at FROM lockstep_delivery WHERE lane_id = lane.id AND s.kind = 'state' ORDER BY seq DESC LIMIT 1)
) head
LEFT JOIN lockstep_change c ON c.seq = head.seq AND c.at = head.at
WHERE s.name = %(subscription)s AND lane.id = ANY (%(lanes)s::bigint[]);

-- name: go_by_index
-- For the rest of a transaction in which a handler ran with other plan settings.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);

-- name: lock_claimed
-- First statement of every settlement: locks the lanes that these claims still hold against fan-out. Fan-out locks lanes
-- in the same order, so they cannot deadlock.
SELECT lane.id, lane.token
FROM lockstep_lane lane
JOIN unnest(%(lanes)s::bigint[], %(tokens)s::bigint[]) AS claim (lane_id, token)
  ON claim.lane_id = lane.id AND claim.token = lane.token
ORDER BY lane.subscription_id, lane.model, lane.object_id
FOR UPDATE OF lane;

-- name: dead_letter
-- Makes dead letters of the heads of lanes; remove_delivered then removes them from the lanes.
INSERT INTO lockstep_deadletter (subscription_id, model, object_id, seq, at, message_id, attempts, cause)
SELECT lane.subscription_id, lane.model, lane.object_id, dead.seq, dead.at, dead.message_id, dead.attempts, dead.cause
FROM unnest(%(lanes)s::bigint[], %(seqs)s::bigint[], %(ats)s::timestamptz[], %(message_ids)s::uuid[],
            %(attempts)s::int[], %(causes)s::text[]) AS dead (lane_id, seq, at, message_id, attempts, cause)
JOIN lockstep_lane lane ON lane.id = dead.lane_id;

-- name: remove_delivered
-- Removes delivered changes. A state delivery removes the earlier changes too, which it absorbed; in an event
-- subscription an earlier one was replayed since and stays. The kind is the claim's: the subscription's may have changed
-- since, and the earlier changes would then be delivered after this one.
DELETE FROM lockstep_delivery d
USING unnest(%(lanes)s::bigint[], %(seqs)s::bigint[], %(absorbs)s::boolean[]) AS done (lane_id, seq, absorbs)
WHERE d.lane_id = done.lane_id AND (d.seq = done.seq OR done.absorbs AND d.seq < done.seq);

-- name: absorb
-- Removes the changes before a state that was sent and may have arrived, even without an answer: if the subscription gets
-- every change from now on, it continues after that state.
DELETE FROM lockstep_delivery d
USING unnest(%(lanes)s::bigint[], %(seqs)s::bigint[]) AS tried (lane_id, seq)
WHERE d.lane_id = tried.lane_id AND d.seq < tried.seq;

-- name: release_pending
-- Makes lanes with further changes due at once. Runs after lock_claimed, so that its snapshot sees all fan-out.
UPDATE lockstep_lane SET next_at = clock_timestamp(), attempts = 0, failure = NULL, cause = NULL
WHERE id = ANY (%(lanes)s::bigint[]) AND EXISTS (SELECT FROM lockstep_delivery d WHERE d.lane_id = lockstep_lane.id);

-- name: delete_empty
-- Deletes empty lanes; the next change of the object makes a new one.
DELETE FROM lockstep_lane
WHERE id = ANY (%(lanes)s::bigint[]) AND NOT EXISTS (SELECT FROM lockstep_delivery d WHERE d.lane_id = lockstep_lane.id);

-- name: postpone
-- Postpones failed lanes: `failure` is the kind, `cause` the message, and `counts` whether it used up an attempt. A lane
-- that waits for another delivery waits half as long as its change is old, 0.1 to 30 s.
UPDATE lockstep_lane lane
SET failure = failed.failure, cause = failed.cause, attempts = lane.attempts + failed.counts::int,
    next_at = clock_timestamp() + CASE failed.failure
        WHEN 'not yet' THEN least(greatest((clock_timestamp() - failed.at) / 2, interval '0.1 s'), interval '30 s')
        ELSE make_interval(secs => failed.delay) END
FROM unnest(%(lanes)s::bigint[], %(ats)s::timestamptz[], %(delays)s::float8[], %(counts)s::boolean[],
            %(failures)s::text[], %(causes)s::text[]) AS failed (lane_id, at, delay, counts, failure, cause)
WHERE lane.id = failed.lane_id;

-- name: probe
-- While a remote does not answer, one waiting lane retries early.
UPDATE lockstep_lane SET next_at = now(), failure = 'brought forward'
WHERE id = (
    SELECT id FROM lockstep_lane
    WHERE subscription_id = %(subscription)s AND failure = 'unreachable' AND next_at > now()
    ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
);

-- name: release_unreachable
-- The remote answers again: makes the lanes that waited for it due. As many as its concurrency at once, the others within
-- some seconds, because it may fail again.
UPDATE lockstep_lane lane SET failure = 'brought forward', next_at = least(lane.next_at,
    now() + %(seconds)s * greatest(0, waiting.place - %(at_once)s) / greatest(1, waiting.total - %(at_once)s))
FROM (
    SELECT id, row_number() OVER (ORDER BY next_at) AS place, count(*) OVER () AS total
    FROM (
        SELECT id, next_at FROM lockstep_lane
        WHERE subscription_id = %(subscription)s AND failure = 'unreachable' AND next_at > now()
        FOR UPDATE SKIP LOCKED
    ) AS found
) AS waiting
WHERE lane.id = waiting.id;

-- name: note_silence
-- Notes that the remote has not answered for so many seconds.
UPDATE lockstep_subscription
SET silent_since = clock_timestamp() - make_interval(secs => %(ago)s), silent_cause = %(cause)s
WHERE name = %(subscription)s AND silent_since IS NULL;

-- name: note_cause
UPDATE lockstep_subscription SET silent_cause = %(cause)s
WHERE name = %(subscription)s AND silent_since IS NOT NULL AND silent_cause <> %(cause)s;

-- name: note_answer
UPDATE lockstep_subscription SET silent_since = NULL, silent_cause = ''
WHERE name = %(subscription)s AND silent_since IS NOT NULL;

-- name: record_attempts
-- Records attempts, also of claims that were lost since. `began` is so many seconds ago by the database's clock.
INSERT INTO lockstep_attempt
    (subscription_id, message_id, model, object_id, kind, seq, at, number, began, seconds, failure, cause, receipt)
SELECT %(subscription)s, message_id, model, object_id, kind, seq, at, number,
       clock_timestamp() - make_interval(secs => ago), seconds, failure, cause, receipt
FROM jsonb_to_recordset(%(attempts)s::jsonb)
     AS tried (message_id uuid, model text, object_id text, kind text, seq bigint, at timestamptz, number int, ago float8,
               seconds float8, failure text, cause text, receipt jsonb);
