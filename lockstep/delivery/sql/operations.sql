-- What operators ask and do. Statements with {chosen} are completed with one of the `chosen_…` ones, which name changes
-- of one subscription. Whoever places deliveries or leaves a place holds the subscription's row, as the relay does.

-- name: status
-- Every subscription: how far it is and what waits. `behind` is committed and not in the lanes yet, `waiting` is in them.
-- Many stand at one place: what is not fanned out there is read once for all of them. One that is disabled is behind
-- nothing.
WITH unplaced AS MATERIALIZED (
    SELECT place.id AS place_id, c.model, c.kind, c.origin, count(*) AS changes, min(c.at) AS oldest
    FROM delivery_place place CROSS JOIN LATERAL delivery_unplaced(place) AS c
    WHERE place.id IN (SELECT place_id FROM delivery_subscription WHERE state <> 'disabled')
    GROUP BY place.id, c.model, c.kind, c.origin
)
SELECT s.name, s.kind, s.state, s.reason, behind.count AS behind, waiting.count AS waiting, lanes.count AS objects,
       lanes.failing, dead.count AS dead, extract(epoch FROM now() - least(behind.oldest, waiting.oldest))::float8 AS age,
       s.silent_since, s.silent_cause
FROM delivery_subscription s
CROSS JOIN LATERAL (
    SELECT coalesce(sum(changes), 0)::bigint AS count, min(oldest) AS oldest FROM unplaced
    WHERE unplaced.place_id = s.place_id AND s.state <> 'disabled'
      AND delivery_followed(s.follows, unplaced.model, unplaced.kind)
      AND (s.skip_origin IS NULL OR unplaced.origin IS DISTINCT FROM s.skip_origin)
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
-- The state of a subscription, which nobody else changes or fans out to until this transaction ends; no row when there is
-- no such subscription. What follows is a statement of its own: this one's snapshot may be older than the lock.
SELECT state, paused FROM delivery_subscription WHERE name = %(subscription)s FOR NO KEY UPDATE;

-- name: leave_place
-- A place of its own, where it stands now. The lock is held.
WITH own AS (
    INSERT INTO delivery_place (window_start, window_end, window_seq, window_last)
    SELECT place.window_start, place.window_end, place.window_seq, place.window_last
    FROM delivery_subscription s JOIN delivery_place place ON place.id = s.place_id WHERE s.name = %(subscription)s
    RETURNING id
)
UPDATE delivery_subscription SET place_id = own.id FROM own WHERE name = %(subscription)s;

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

-- name: discard_letters
-- Of those that were chosen, the ones that nobody settled meanwhile.
UPDATE delivery_deadletter SET outcome = 'discarded', reason = %(reason)s, settled = now()
WHERE id = ANY (%(letters)s) AND outcome IS NULL
RETURNING id;

-- name: chosen_letters
SELECT id AS letter, model, object_id, seq, at FROM delivery_deadletter WHERE id = ANY (%(letters)s)

-- name: chosen_attempt
SELECT NULL::uuid AS letter, model, object_id, seq, at FROM delivery_attempt WHERE id = %(attempt)s

-- name: find_message
-- Where a message is: among the dead letters that nobody has settled, else among the attempts.
SELECT id, true AS is_letter FROM delivery_deadletter
WHERE subscription_id = %(subscription)s AND message_id = %(message_id)s AND outcome IS NULL
UNION ALL
SELECT id, false FROM delivery_attempt
WHERE subscription_id = %(subscription)s AND message_id = %(message_id)s
ORDER BY is_letter DESC
LIMIT 1;

-- name: chosen_span
SELECT NULL::uuid AS letter, c.model, c.object_id, c.seq, c.at
FROM changes_change c JOIN delivery_subscription s ON s.name = %(subscription)s
WHERE c.at >= %(since)s AND (%(until)s::timestamptz IS NULL OR c.at < %(until)s)
  AND delivery_followed(s.follows, c.model, c.kind) AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
  AND (%(model)s::text IS NULL OR c.model = %(model)s)
  AND (%(object_id)s::text IS NULL OR c.object_id = %(object_id)s)

-- name: judged
-- What goes out for each of the chosen: an event is sent again itself, if it was fanned out. A state subscription gets the
-- latest state of the object that was fanned out, because an old one would undo it; it stands for all before it, also for
-- one that the log does not have any more. What does not go out is either not fanned out yet, which the relay does, or not
-- in the log any more.
WITH chosen AS MATERIALIZED (
    {chosen}
), found AS MATERIALIZED (
    SELECT chosen.*, s.kind, c.seq IS NOT NULL AS is_in_log, coalesce(delivery_is_placed(place, c.xid, c.seq), false) AS is_placed
    FROM chosen
    JOIN delivery_subscription s ON s.name = %(subscription)s
    JOIN delivery_place place ON place.id = s.place_id
    LEFT JOIN changes_change c ON c.seq = chosen.seq AND c.at = chosen.at
), latest AS MATERIALIZED (
    SELECT object.model, object.object_id, state.seq, state.at
    FROM (SELECT DISTINCT model, object_id FROM found WHERE kind = 'state') AS object
    JOIN delivery_subscription s ON s.name = %(subscription)s
    JOIN delivery_place place ON place.id = s.place_id
    CROSS JOIN LATERAL (
        SELECT c.seq, c.at FROM changes_change c
        WHERE c.object_id = object.object_id AND c.model = object.model AND delivery_is_placed(place, c.xid, c.seq)
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
-- What a replay would send: changes, objects, the first and the last time; how many are not fanned out, and not in the log.
{judged}
SELECT count(due_seq), count(DISTINCT (model, object_id)) FILTER (WHERE due_seq IS NOT NULL),
       min(at) FILTER (WHERE due_seq IS NOT NULL), max(at) FILTER (WHERE due_seq IS NOT NULL),
       count(*) FILTER (WHERE due_seq IS NULL AND is_in_log), count(*) FILTER (WHERE due_seq IS NULL AND NOT is_in_log)
FROM judged;

-- name: replay
-- Places the changes in their lanes again, whatever was delivered since: an object's earlier change goes out first. Lanes
-- that wait after a failure are due at once. Where the change that goes out next is chosen together with an earlier one, it
-- may be under way: its claim is taken away, and it comes again behind that, as in clear_from. A dead letter is settled when
-- something went into a lane for it, and only then. Returns what was placed, and how many were not: not fanned out, and not
-- in the log.
{judged}, overtaken AS MATERIALIZED (
    SELECT lane.id
    FROM (SELECT model, object_id, min(due_seq) AS first_seq, array_agg(due_seq) AS due FROM judged GROUP BY 1, 2) AS object
    JOIN delivery_lane lane
      ON (lane.subscription_id, lane.model, lane.object_id) = (%(subscription)s, object.model, object.object_id)
    CROSS JOIN LATERAL (SELECT min(seq) AS seq FROM delivery_delivery WHERE lane_id = lane.id) AS next
    WHERE next.seq > object.first_seq AND next.seq = ANY (object.due)
), lane AS (
    INSERT INTO delivery_lane (subscription_id, model, object_id)
    SELECT DISTINCT %(subscription)s, model, object_id FROM judged WHERE due_seq IS NOT NULL ORDER BY model, object_id
    ON CONFLICT (subscription_id, model, object_id) DO UPDATE
    SET next_at = CASE WHEN delivery_lane.failure IS NULL THEN delivery_lane.next_at ELSE now() END,
        attempts = CASE WHEN delivery_lane.failure IS NULL THEN delivery_lane.attempts ELSE 0 END,
        token = CASE WHEN delivery_lane.id IN (SELECT id FROM overtaken) THEN delivery_draw_token() ELSE delivery_lane.token END
    RETURNING id, model, object_id
), placed AS (
    INSERT INTO delivery_delivery (lane_id, seq, at)
    SELECT DISTINCT lane.id, judged.due_seq, judged.due_at
    FROM judged JOIN lane USING (model, object_id) WHERE judged.due_seq IS NOT NULL
    ON CONFLICT DO NOTHING
    RETURNING lane_id
), settled AS (
    UPDATE delivery_deadletter letter SET outcome = 'replayed', settled = now()
    FROM judged WHERE judged.letter = letter.id AND judged.due_seq IS NOT NULL AND letter.outcome IS NULL
)
SELECT (SELECT count(*) FROM placed), (SELECT count(*) FROM lane),
       count(*) FILTER (WHERE due_seq IS NULL AND is_in_log), count(*) FILTER (WHERE due_seq IS NULL AND NOT is_in_log)
FROM judged;

-- name: pause
-- One that is disabled stays so, and is paused when it is enabled.
UPDATE delivery_subscription
SET paused = %(reason)s, state = CASE WHEN state = 'disabled' THEN state ELSE 'paused' END,
    reason = CASE WHEN state = 'disabled' THEN reason ELSE %(reason)s END
WHERE name = %(subscription)s
RETURNING state;

-- name: resume
-- What waits is counted at the next change: it may be more than the cap.
UPDATE delivery_subscription
SET paused = NULL, state = CASE WHEN state = 'paused' THEN 'active' ELSE state END,
    reason = CASE WHEN state = 'paused' THEN '' ELSE reason END, placed = greatest(placed, cap)
WHERE name = %(subscription)s
RETURNING state;

-- name: disable
UPDATE delivery_subscription SET state = 'disabled', reason = %(reason)s WHERE name = %(subscription)s;

-- name: enable
-- It starts anew, from now on; paused, where an operator has said so.
UPDATE delivery_subscription
SET place_id = delivery_new_place(), placed = 0, reason = coalesce(paused, ''),
    state = CASE WHEN paused IS NULL THEN 'active' ELSE 'paused' END
WHERE name = %(subscription)s AND state = 'disabled';

-- name: rewind_to
-- The number from which on everything goes out again, and the snapshot that shows all of that; NULL when there is nothing
-- since then. What is not fanned out yet belongs to it however early its number was drawn.
SELECT CASE WHEN since.seq IS NOT NULL THEN least(since.seq, (
           SELECT min(c.seq) FROM delivery_subscription s JOIN delivery_place place ON place.id = s.place_id
           CROSS JOIN LATERAL delivery_unplaced(place) AS c WHERE s.name = %(subscription)s)) END,
       pg_current_snapshot()::text
FROM (SELECT min(c.seq) AS seq FROM changes_change c WHERE c.at >= %(since)s) AS since;

-- name: clear_from
-- What waits from there on and comes again with the window goes, to come anew: a lane that waits after a failure is due at
-- once. What is under way there has lost its claim, and comes again, in its order, once its lease has ended: its
-- settlement would remove what the window places, and the object would end with an earlier change. What does not come
-- again stays in its lane: a message to this subscription alone, a letter that was replayed and is not followed any more.
-- Lanes are locked first, as in remove_deliveries.
WITH lane AS MATERIALIZED (
    SELECT id FROM delivery_lane WHERE subscription_id = %(subscription)s ORDER BY model, object_id FOR UPDATE
), cleared AS (
    DELETE FROM delivery_delivery d USING lane, delivery_subscription s, changes_change c
    WHERE d.lane_id = lane.id AND d.seq >= %(seq)s AND s.name = %(subscription)s AND c.seq = d.seq AND c.at = d.at
      AND delivery_followed(s.follows, c.model, c.kind)
      AND (s.skip_origin IS NULL OR c.origin IS DISTINCT FROM s.skip_origin)
    RETURNING d.lane_id
)
UPDATE delivery_lane SET token = delivery_draw_token(), attempts = 0,
    next_at = CASE WHEN failure IS NULL THEN next_at ELSE now() END
WHERE id IN (SELECT lane_id FROM cleared);

-- name: rewind
-- A window that begins before everything: no transaction is visible in '1:1:'. It is fanned out in chunks from that number
-- on, as any window that is under way, at a place of its own. It ends with the snapshot in which the number was found:
-- what was written early and committed since is not before the number then, but behind the window.
WITH own AS (
    INSERT INTO delivery_place (window_start, window_end, window_seq, window_last)
    SELECT '1:1:'::pg_snapshot, %(end)s::pg_snapshot, %(seq)s, max(seq) FROM changes_change RETURNING id
)
UPDATE delivery_subscription SET place_id = own.id FROM own WHERE name = %(subscription)s;

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
-- A family's member. It gets a place of its own, which begins with the transaction that makes it: whatever commits later is
-- in its first window.
INSERT INTO delivery_subscription (name, kind, follows, skip_origin, cap, keeps_log)
VALUES (%(name)s, %(kind)s, %(follows)s, %(skip_origin)s, %(cap)s, false)
ON CONFLICT (name) DO UPDATE SET follows = excluded.follows, cap = excluded.cap;

-- name: send
-- A change that only this subscription gets. It bears the origin that the subscription skips, so that no fan-out places it
-- a second time.
WITH change AS (
    SELECT sent.seq, sent.at
    FROM delivery_subscription s
    CROSS JOIN LATERAL changes_send(%(model)s, %(object_id)s, %(after)s::jsonb, s.skip_origin) AS sent
    WHERE s.name = %(subscription)s AND s.skip_origin IS NOT NULL
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
