-- Operators' commands. Statements with {chosen} are completed with one of the `chosen_…` ones, which select changes of one
-- subscription. Statements that insert deliveries or leave a place lock the subscription's row, like the relay.

-- name: status
-- Every subscription with its counts: `behind` are committed changes not in lanes yet, `waiting` those in lanes. Many
-- subscriptions share a place: its pending changes are read once for all of them. A disabled one has none behind.
WITH unplaced AS MATERIALIZED (
    SELECT place.id AS place_id, c.model, c.kind, c.origin, count(*) AS changes, min(c.at) AS oldest
    FROM lockstep_place place CROSS JOIN LATERAL lockstep_unplaced(place) AS c
    WHERE place.id IN (SELECT place_id FROM lockstep_subscription WHERE state <> 'disabled')
    GROUP BY place.id, c.model, c.kind, c.origin
)
SELECT s.name, s.kind, s.state, s.reason, behind.count AS behind, waiting.count AS waiting, lanes.count AS objects,
       lanes.failing, dead.count AS dead, extract(epoch FROM now() - least(behind.oldest, waiting.oldest))::float8 AS age,
       s.silent_since, s.silent_cause, coalesce(lanes.cause, '')
FROM lockstep_subscription s
CROSS JOIN LATERAL (
    SELECT coalesce(sum(changes), 0)::bigint AS count, min(oldest) AS oldest FROM unplaced
    WHERE unplaced.place_id = s.place_id AND s.state <> 'disabled'
      AND lockstep_followed(s.follows, unplaced.model, unplaced.kind)
      AND (s.skip_origin IS NULL OR unplaced.origin IS DISTINCT FROM s.skip_origin)
) AS behind
CROSS JOIN LATERAL (
    SELECT count(*), count(*) FILTER (WHERE failure IS NOT NULL) AS failing,
           min(cause) FILTER (WHERE failure IS NOT NULL) AS cause
    FROM lockstep_lane lane WHERE lane.subscription_id = s.name
) AS lanes
CROSS JOIN LATERAL (
    SELECT count(*), min(d.at) AS oldest
    FROM lockstep_lane lane JOIN lockstep_delivery d ON d.lane_id = lane.id WHERE lane.subscription_id = s.name
) AS waiting
CROSS JOIN LATERAL (
    SELECT count(*) FROM lockstep_deadletter letter WHERE letter.subscription_id = s.name AND letter.outcome IS NULL
) AS dead
ORDER BY s.name;

-- name: lock
-- Locks a subscription against changes and fan-out by other transactions, and returns its state; no row when there is no
-- such subscription. Reads need a further statement: this one's snapshot may be older than the lock.
SELECT state, paused FROM lockstep_subscription WHERE name = %(subscription)s FOR NO KEY UPDATE;

-- name: leave_place
-- Gives the subscription a place of its own at its present position. The lock is held.
WITH own AS (
    INSERT INTO lockstep_place (window_start, window_end, window_seq, window_last)
    SELECT place.window_start, place.window_end, place.window_seq, place.window_last
    FROM lockstep_subscription s JOIN lockstep_place place ON place.id = s.place_id WHERE s.name = %(subscription)s
    RETURNING id
)
UPDATE lockstep_subscription SET place_id = own.id FROM own WHERE name = %(subscription)s;

-- name: dead_letters
-- Open dead letters, oldest first. A NULL parameter does not restrict them.
SELECT id, model, object_id, seq, at, message_id, attempts, cause, died
FROM lockstep_deadletter
WHERE subscription_id = %(subscription)s AND outcome IS NULL
  AND (%(letters)s::uuid[] IS NULL OR id = ANY (%(letters)s))
  AND (%(model)s::text IS NULL OR model = %(model)s)
  AND (%(object_id)s::text IS NULL OR object_id = %(object_id)s)
  AND (%(cause)s::text IS NULL OR strpos(lower(cause), lower(%(cause)s::text)) > 0)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
ORDER BY died, seq
LIMIT %(limit)s;

-- name: discard_letters
-- Discards those of the chosen dead letters that are still open.
UPDATE lockstep_deadletter SET outcome = 'discarded', reason = %(reason)s, settled = now()
WHERE id = ANY (%(letters)s) AND outcome IS NULL
RETURNING id;

-- name: chosen_letters
SELECT id AS letter, model, object_id, seq, at FROM lockstep_deadletter WHERE id = ANY (%(letters)s)

-- name: chosen_attempt
SELECT NULL::uuid AS letter, model, object_id, seq, at FROM lockstep_attempt WHERE id = %(attempt)s

-- name: find_message
-- Finds a message among the open dead letters, else among the attempts.
SELECT id, true AS is_letter FROM lockstep_deadletter
WHERE subscription_id = %(subscription)s AND message_id = %(message_id)s AND outcome IS NULL
UNION ALL
SELECT id, false FROM lockstep_attempt
WHERE subscription_id = %(subscription)s AND message_id = %(message_id)s
ORDER BY is_letter DESC
LIMIT 1;

-- name: chosen_span
SELECT NULL::uuid AS letter, c.model, c.object_id, c.seq, c.at
FROM lockstep_change c JOIN lockstep_subscription s ON s.name = %(subscription)s
WHERE c.at >= %(since)s AND (%(until)s::timestamptz IS NULL OR c.at < %(until)s)
  AND lockstep_followed(s.follows, c.model, c.kind) AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
  AND (%(model)s::text IS NULL OR c.model = %(model)s)
  AND (%(object_id)s::text IS NULL OR c.object_id = %(object_id)s)

-- name: judged
-- The change to send for each chosen one. An event is itself sent again, if it was fanned out. A state subscription gets the
-- object's latest state that was fanned out, because an older one would undo it; it stands for all before it, also for
-- those no longer in the log. The others are either not fanned out yet, which the relay does, or no longer in the log.
WITH chosen AS MATERIALIZED (
    {chosen}
), found AS MATERIALIZED (
    SELECT chosen.*, s.kind, c.seq IS NOT NULL AS is_in_log, coalesce(lockstep_is_placed(place, c.xid, c.seq), false) AS is_placed
    FROM chosen
    JOIN lockstep_subscription s ON s.name = %(subscription)s
    JOIN lockstep_place place ON place.id = s.place_id
    LEFT JOIN lockstep_change c ON c.seq = chosen.seq AND c.at = chosen.at
), latest AS MATERIALIZED (
    SELECT object.model, object.object_id, state.seq, state.at
    FROM (SELECT DISTINCT model, object_id FROM found WHERE kind = 'state') AS object
    JOIN lockstep_subscription s ON s.name = %(subscription)s
    JOIN lockstep_place place ON place.id = s.place_id
    CROSS JOIN LATERAL (
        SELECT c.seq, c.at FROM lockstep_change c
        WHERE c.object_id = object.object_id AND c.model = object.model AND lockstep_is_placed(place, c.xid, c.seq)
          AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
        ORDER BY c.seq DESC LIMIT 1
    ) AS state
), judged AS MATERIALIZED (
    SELECT found.letter, found.model, found.object_id, found.at, found.is_in_log,
           CASE WHEN found.kind = 'event' AND found.is_placed THEN found.seq
                WHEN latest.seq >= found.seq THEN latest.seq END AS due_seq,
           CASE WHEN found.kind = 'event' THEN found.at ELSE latest.at END AS due_at
    FROM found LEFT JOIN latest USING (model, object_id)
)

-- name: preview
-- What a replay would send: changes, objects, first and last time; how many of the chosen ones are not fanned out, and not
-- in the log; and how many of the changes wait in their lanes already.
{include judged}, due AS MATERIALIZED (
    SELECT DISTINCT model, object_id, due_seq FROM judged WHERE due_seq IS NOT NULL
)
SELECT (SELECT count(*) FROM due), count(DISTINCT (model, object_id)) FILTER (WHERE due_seq IS NOT NULL),
       min(at) FILTER (WHERE due_seq IS NOT NULL), max(at) FILTER (WHERE due_seq IS NOT NULL),
       count(*) FILTER (WHERE due_seq IS NULL AND is_in_log), count(*) FILTER (WHERE due_seq IS NULL AND NOT is_in_log),
       (SELECT count(*) FROM due
        JOIN lockstep_lane lane
          ON (lane.subscription_id, lane.model, lane.object_id) = (%(subscription)s, due.model, due.object_id)
        JOIN lockstep_delivery d ON d.lane_id = lane.id AND d.seq = due.due_seq)
FROM judged;

-- name: replay
-- Inserts the changes into their lanes again, whatever was delivered since: an object's earlier change is sent first. Lanes
-- that wait after a failure are due at once. Where a lane's next change is chosen together with an earlier one, it may be in
-- delivery: its claim is revoked, and it is sent again after the earlier one, as in clear_from. A dead letter is settled
-- only when a change was inserted for it. Returns how many were inserted, not fanned out, and not in the log.
{include judged}, overtaken AS MATERIALIZED (
    SELECT lane.id
    FROM (SELECT model, object_id, min(due_seq) AS first_seq, array_agg(due_seq) AS due FROM judged GROUP BY 1, 2) AS object
    JOIN lockstep_lane lane
      ON (lane.subscription_id, lane.model, lane.object_id) = (%(subscription)s, object.model, object.object_id)
    CROSS JOIN LATERAL (SELECT min(seq) AS seq FROM lockstep_delivery WHERE lane_id = lane.id) AS next
    WHERE next.seq > object.first_seq AND next.seq = ANY (object.due)
), lane AS (
    INSERT INTO lockstep_lane (subscription_id, model, object_id)
    SELECT DISTINCT %(subscription)s, model, object_id FROM judged WHERE due_seq IS NOT NULL ORDER BY model, object_id
    ON CONFLICT (subscription_id, model, object_id) DO UPDATE
    SET next_at = CASE WHEN lockstep_lane.failure IS NULL THEN lockstep_lane.next_at ELSE now() END,
        attempts = CASE WHEN lockstep_lane.failure IS NULL THEN lockstep_lane.attempts ELSE 0 END,
        token = CASE WHEN lockstep_lane.id IN (SELECT id FROM overtaken) THEN lockstep_draw_token() ELSE lockstep_lane.token END
    RETURNING id, model, object_id
), placed AS (
    INSERT INTO lockstep_delivery (lane_id, seq, at)
    SELECT DISTINCT lane.id, judged.due_seq, judged.due_at
    FROM judged JOIN lane USING (model, object_id) WHERE judged.due_seq IS NOT NULL
    ON CONFLICT DO NOTHING
    RETURNING lane_id
), settled AS (
    UPDATE lockstep_deadletter letter SET outcome = 'replayed', settled = now()
    FROM judged WHERE judged.letter = letter.id AND judged.due_seq IS NOT NULL AND letter.outcome IS NULL
)
SELECT (SELECT count(*) FROM placed), (SELECT count(*) FROM lane),
       count(*) FILTER (WHERE due_seq IS NULL AND is_in_log), count(*) FILTER (WHERE due_seq IS NULL AND NOT is_in_log)
FROM judged;

-- name: pause
-- A disabled subscription is paused once it is enabled.
UPDATE lockstep_subscription
SET paused = %(reason)s, state = CASE WHEN state = 'disabled' THEN state ELSE 'paused' END,
    reason = CASE WHEN state = 'disabled' THEN reason ELSE %(reason)s END
WHERE name = %(subscription)s
RETURNING state;

-- name: resume
-- Waiting changes are counted at the next fan-out: they may exceed the cap.
UPDATE lockstep_subscription
SET paused = NULL, state = CASE WHEN state = 'paused' THEN 'active' ELSE state END,
    reason = CASE WHEN state = 'paused' THEN '' ELSE reason END, placed = greatest(placed, cap)
WHERE name = %(subscription)s
RETURNING state;

-- name: disable
UPDATE lockstep_subscription SET state = 'disabled', reason = %(reason)s WHERE name = %(subscription)s;

-- name: enable
-- Restarts it from now on; paused, if an operator paused it.
UPDATE lockstep_subscription
SET place_id = lockstep_new_place(), placed = 0, reason = coalesce(paused, ''),
    state = CASE WHEN paused IS NULL THEN 'active' ELSE 'paused' END
WHERE name = %(subscription)s AND state = 'disabled';

-- name: rewind_to
-- The number from which everything is sent again, and a snapshot that shows all of it; NULL when there is nothing since
-- then. Changes not fanned out yet are included however early their numbers were drawn.
SELECT CASE WHEN since.seq IS NOT NULL THEN least(since.seq, (
           SELECT min(c.seq) FROM lockstep_subscription s JOIN lockstep_place place ON place.id = s.place_id
           CROSS JOIN LATERAL lockstep_unplaced(place) AS c WHERE s.name = %(subscription)s)) END,
       pg_current_snapshot()::text
FROM (SELECT min(c.seq) AS seq FROM lockstep_change c WHERE c.at >= %(since)s) AS since;

-- name: clear_from
-- Removes waiting deliveries that the window will insert again; lanes that wait after a failure are due at once. Claims of
-- such lanes are revoked, and their changes are sent again, in order, once the lease has ended: a settlement would remove
-- what the window inserts, and the object would end with an earlier change. Deliveries that the window does not insert
-- stay: messages to this subscription alone, and replayed dead letters that are no longer followed. Lanes are locked first,
-- as in remove_deliveries.
WITH lane AS MATERIALIZED (
    SELECT id FROM lockstep_lane WHERE subscription_id = %(subscription)s ORDER BY model, object_id FOR UPDATE
), cleared AS (
    DELETE FROM lockstep_delivery d USING lane, lockstep_subscription s, lockstep_change c
    WHERE d.lane_id = lane.id AND d.seq >= %(seq)s AND s.name = %(subscription)s AND c.seq = d.seq AND c.at = d.at
      AND lockstep_followed(s.follows, c.model, c.kind)
      AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
    RETURNING d.lane_id
)
UPDATE lockstep_lane SET token = lockstep_draw_token(), attempts = 0,
    next_at = CASE WHEN failure IS NULL THEN next_at ELSE now() END
WHERE id IN (SELECT lane_id FROM cleared);

-- name: rewind
-- A window that begins before everything: no transaction is visible in '1:1:'. Like any open window it is fanned out in
-- chunks from that number, at a place of its own. It ends with the snapshot in which the number was found: a change that was
-- numbered earlier and committed since is then not before the number, but after the window.
WITH own AS (
    INSERT INTO lockstep_place (window_start, window_end, window_seq, window_last)
    SELECT '1:1:'::pg_snapshot, %(end)s::pg_snapshot, %(seq)s, max(seq) FROM lockstep_change RETURNING id
)
UPDATE lockstep_subscription SET place_id = own.id FROM own WHERE name = %(subscription)s;

-- name: remove_deliveries
-- Lanes are locked first, in the order of settlements: otherwise both could deadlock.
DELETE FROM lockstep_delivery d USING (
    SELECT id FROM lockstep_lane WHERE subscription_id = %(subscription)s ORDER BY model, object_id FOR UPDATE
) AS lane
WHERE lane.id = d.lane_id;

-- name: remove_lanes
DELETE FROM lockstep_lane WHERE subscription_id = %(subscription)s;

-- name: remove_attempts
DELETE FROM lockstep_attempt WHERE subscription_id = %(subscription)s;

-- name: remove_letters
-- After the lanes: a transaction that makes a dead letter holds its lane.
DELETE FROM lockstep_deadletter WHERE subscription_id = %(subscription)s;

-- name: put_aside
INSERT INTO lockstep_deadletter (subscription_id, model, object_id, seq, at, message_id, attempts, cause)
SELECT s.name, %(model)s, %(object_id)s, %(seq)s, %(at)s, %(message_id)s, %(attempts)s, %(cause)s
FROM lockstep_subscription s
WHERE s.name = %(subscription)s AND NOT EXISTS (
    SELECT FROM lockstep_deadletter letter
    WHERE letter.subscription_id = s.name AND letter.message_id = %(message_id)s AND letter.outcome IS NULL);

-- name: subscribe
-- A family's member. It gets a place of its own, which begins with the transaction that makes it: later commits are in its
-- first window.
INSERT INTO lockstep_subscription (name, kind, follows, skip_origin, cap, keeps_log)
VALUES (%(name)s, %(kind)s, %(follows)s, %(skip_origin)s, %(cap)s, false)
ON CONFLICT (name) DO UPDATE SET follows = excluded.follows, cap = excluded.cap;

-- name: send
-- A change that only this subscription gets. It has the origin that the subscription skips, so that fan-out does not insert
-- it a second time.
WITH change AS (
    SELECT sent.seq, sent.at
    FROM lockstep_subscription s
    CROSS JOIN LATERAL lockstep_send(%(model)s, %(object_id)s, %(after)s::jsonb, s.skip_origin) AS sent
    WHERE s.name = %(subscription)s AND s.skip_origin IS NOT NULL
), lane AS (
    INSERT INTO lockstep_lane (subscription_id, model, object_id)
    VALUES (%(subscription)s, %(model)s, %(object_id)s)
    ON CONFLICT (subscription_id, model, object_id) DO UPDATE SET token = lockstep_lane.token
    RETURNING id
)
INSERT INTO lockstep_delivery (lane_id, seq, at) SELECT lane.id, change.seq, change.at FROM lane, change
RETURNING seq;

-- name: remove_subscription
DELETE FROM lockstep_subscription WHERE name = %(subscription)s;
