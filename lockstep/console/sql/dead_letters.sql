-- The console's reads of dead letters, of which there may be hundreds of thousands. Lists are read in the order of an index,
-- and no further than %(scan)s letters, whether they match the filter or not: the page says where it stopped.

-- name: normalised
-- A cause without what differs from one object to the next, so that letters can be grouped by it: addresses, UUIDs and
-- numbers are "…". A status of HTTP stays: three digits after the name of the error, a bracket, or a word such as "answered".
regexp_replace(left(letter.cause, 300),
    'https?://[^\s"'']+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![[:alnum:]])'
    '(?!(?<=^[[:alnum:]]+: |[(]|answered |http |status |code )[1-5][0-9]{2}(?![0-9.:]))[0-9]+(?:[.:][0-9]+)*',
    '…', 'gi')

-- name: matches
-- Whether a letter passes the filter; NULL does not restrict it. The pattern of a group is compared first, which takes a
-- hundredth of the time.
    (%(model)s::text IS NULL OR letter.model = %(model)s)
AND (%(object_id)s::text IS NULL OR letter.object_id = %(object_id)s)
AND (%(cause)s::text IS NULL OR strpos(lower(letter.cause), lower(%(cause)s)) > 0)
AND (%(since)s::timestamptz IS NULL OR letter.at >= %(since)s)
AND (%(until)s::timestamptz IS NULL OR letter.at < %(until)s)
AND (%(settled)s::timestamptz IS NULL OR letter.settled = %(settled)s)
AND (%(group)s::text IS NULL OR letter.cause LIKE %(pattern)s AND {include normalised} = %(group)s)

-- name: newest_open
-- The open letters of one subscription, newest first.
SELECT * FROM lockstep_deadletter
WHERE subscription_id = %(subscription)s AND outcome IS NULL
  AND (%(before)s::uuid IS NULL OR died <= (SELECT died FROM lockstep_deadletter WHERE id = %(before)s)
       AND (died, id) < ((SELECT died FROM lockstep_deadletter WHERE id = %(before)s), %(before)s))
ORDER BY died DESC, id DESC

-- name: newest
-- All letters, newest first: their ids are ordered by time.
SELECT * FROM lockstep_deadletter WHERE %(before)s::uuid IS NULL OR id < %(before)s ORDER BY id DESC

-- name: matches_of_all
-- The filter where {letters} of all subscriptions and outcomes are read.
    {include matches}
AND (%(subscription)s::text IS NULL OR letter.subscription_id = %(subscription)s)
AND (%(family)s::text IS NULL OR starts_with(letter.subscription_id, %(family)s || ':'))
AND letter.outcome IS NOT DISTINCT FROM %(outcome)s

-- name: columns
letter.id, letter.subscription_id, letter.model, letter.object_id, letter.seq, letter.at, letter.message_id, letter.attempts,
letter.cause, letter.died, letter.outcome, letter.reason, letter.settled, lane.id IS NOT NULL, lane.failure,
coalesce(lane.cause, ''), lane.next_at

-- name: lane_again
-- The lane in which a replayed letter waits again: with its own change, or for a state subscription with a later one.
-- LIMIT keeps PostgreSQL from reading all deliveries once for all letters.
SELECT lane.id, lane.failure, lane.cause, lane.next_at
FROM lockstep_lane lane
CROSS JOIN LATERAL (
    SELECT FROM lockstep_delivery d WHERE d.lane_id = lane.id AND d.seq = letter.seq
    UNION ALL
    (SELECT FROM lockstep_delivery d JOIN lockstep_subscription s ON s.name = letter.subscription_id AND s.kind = 'state'
     WHERE d.lane_id = lane.id AND d.seq > letter.seq ORDER BY d.seq LIMIT 1)
    LIMIT 1
) AS waiting
WHERE letter.outcome = 'replayed'
  AND (lane.subscription_id, lane.model, lane.object_id) = (letter.subscription_id, letter.model, letter.object_id)

-- name: page
-- The next letters of the list, and of each whether its change waits in a lane again.
SELECT {include columns}
FROM ({letters} LIMIT %(scan)s) AS letter
LEFT JOIN LATERAL ({include lane_again}) AS lane ON true
WHERE {condition}
ORDER BY {order}
LIMIT %(limit)s;

-- name: scan_end
-- The last letter of a list that is read; none where the list ends before.
SELECT letter.id FROM ({letters} OFFSET %(scan)s - 1 LIMIT 1) AS letter;

-- name: groups
-- The newest letters of a list by subscription and cause.
SELECT letter.subscription_id, letter.cause, count(*), count(DISTINCT (letter.model, letter.object_id)), min(letter.died),
       max(letter.died), sum(count(*)) OVER ()::bigint
FROM (
    SELECT letter.subscription_id, letter.model, letter.object_id, letter.died, {include normalised} AS cause
    FROM ({letters} LIMIT %(scan)s) AS letter
    WHERE {condition}
    LIMIT %(most)s
) AS letter
GROUP BY letter.subscription_id, letter.cause
ORDER BY count(*) DESC, letter.subscription_id, letter.cause
LIMIT %(limit)s;

-- name: subscriptions
-- Subscriptions with open letters, after a name, and how many they have: a skip scan of the index of open letters.
WITH RECURSIVE own (name) AS (
    (SELECT subscription_id FROM lockstep_deadletter WHERE outcome IS NULL AND subscription_id > %(after)s
     ORDER BY subscription_id LIMIT 1)
    UNION ALL
    SELECT (SELECT letter.subscription_id FROM lockstep_deadletter letter
            WHERE letter.outcome IS NULL AND letter.subscription_id > own.name ORDER BY letter.subscription_id LIMIT 1)
    FROM own WHERE own.name IS NOT NULL
)
SELECT own.name, (
    SELECT count(*) FROM (SELECT FROM lockstep_deadletter letter
                          WHERE letter.subscription_id = own.name AND letter.outcome IS NULL
                          ORDER BY letter.died LIMIT %(most)s) AS letter)
FROM own WHERE own.name IS NOT NULL
LIMIT %(limit)s;

-- name: oldest_open
-- The open letters of one subscription, oldest first, or those of them that are named.
SELECT * FROM lockstep_deadletter
WHERE subscription_id = %(subscription)s AND outcome IS NULL
  AND (%(letters)s::uuid[] IS NULL OR id = ANY (%(letters)s))
  AND (%(after)s::uuid IS NULL OR died >= (SELECT died FROM lockstep_deadletter WHERE id = %(after)s)
       AND (died, id) > ((SELECT died FROM lockstep_deadletter WHERE id = %(after)s), %(after)s))
ORDER BY died, id

-- name: chosen
-- The letters that an operation is for, oldest first, so that a part of them keeps the order of each object's changes.
SELECT letter.id FROM ({letters} LIMIT %(scan)s) AS letter
WHERE {condition}
ORDER BY letter.died, letter.id
LIMIT %(limit)s;

-- name: batch
-- What became of the letters of one replay: how many there were, how many of them wait in lanes again, or fail there, and how
-- many do not wait, and are open letters again. Those are younger than the replay: a range of the index of open letters.
WITH again AS MATERIALIZED (
    SELECT message_id FROM lockstep_deadletter
    WHERE subscription_id = %(subscription)s AND outcome IS NULL AND died >= %(settled)s
    ORDER BY died LIMIT %(scan)s
)
SELECT count(*), count(lane.id), count(lane.id) FILTER (WHERE lane.failure IS NOT NULL),
       count(*) FILTER (WHERE lane.id IS NULL AND letter.message_id IN (SELECT message_id FROM again))
FROM (
    SELECT letter.* FROM ({letters} LIMIT %(scan)s) AS letter WHERE {condition} LIMIT %(most)s
) AS letter
LEFT JOIN LATERAL ({include lane_again}) AS lane ON true;

-- name: letter
-- One letter with its change, where the log still has it, and whether that is fanned out.
SELECT {include columns},
       s.kind, s.state, c.seq IS NOT NULL, coalesce(lockstep_is_placed(place, c.xid, c.seq), false),
       c.kind, c.before, c.after, c.actor, c.origin, c.trace
FROM lockstep_deadletter letter
JOIN lockstep_subscription s ON s.name = letter.subscription_id
JOIN lockstep_place place ON place.id = s.place_id
LEFT JOIN lockstep_change c ON c.seq = letter.seq AND c.at = letter.at
LEFT JOIN LATERAL ({include lane_again}) AS lane ON true
WHERE letter.id = %(id)s;

-- name: lane
-- What waits for the letter's object: the lane, and the first changes in it.
SELECT lane.failure, coalesce(lane.cause, ''), lane.attempts, lane.next_at, d.seq, d.at, coalesce(c.kind, '')
FROM lockstep_lane lane
CROSS JOIN LATERAL (
    SELECT seq, at FROM lockstep_delivery WHERE lane_id = lane.id ORDER BY seq LIMIT %(limit)s
) AS d
LEFT JOIN lockstep_change c ON c.seq = d.seq AND c.at = d.at
WHERE (lane.subscription_id, lane.model, lane.object_id) = (%(subscription)s, %(model)s, %(object_id)s)
ORDER BY d.seq;

-- name: attempts
-- The attempts of one message, latest first, where its subscription records them.
SELECT number, began, seconds, failure, coalesce(cause, ''), receipt
FROM lockstep_attempt WHERE message_id = %(message_id)s ORDER BY id DESC LIMIT %(limit)s;

-- name: again
-- A later letter of the same message, among the newest open ones of its subscription.
SELECT letter.id
FROM (SELECT * FROM lockstep_deadletter WHERE subscription_id = %(subscription)s AND outcome IS NULL
      ORDER BY died DESC, id DESC LIMIT %(scan)s) AS letter
WHERE letter.message_id = %(message_id)s AND letter.id <> %(id)s
LIMIT 1;

-- name: transaction_time
-- The time that everything of this transaction has, such as the letters that it settles.
SELECT now();
