-- How often somebody has tried lately; see throttling.py.

-- name: count
-- One more under each key, within so many seconds of the first. In the order of the keys, so that two tries wait for each
-- other and neither for both. A count that would last longer than it may was begun before the clock stepped back; a minute
-- more is what another transaction may be ahead.
INSERT INTO accounts_tries AS t (key, number, until)
SELECT key, 1, now() + seconds * interval '1 second'
FROM unnest(%s::bytea[], %s::float8[]) AS k (key, seconds)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    number = CASE WHEN t.until <= now() OR t.until > excluded.until + interval '1 min' THEN 1 ELSE t.number + 1 END,
    until = CASE WHEN t.until <= now() OR t.until > excluded.until + interval '1 min' THEN excluded.until ELSE t.until END
RETURNING key, number, extract(epoch FROM until - now())::float8;

-- name: forgive
-- One less under each key, in the same order: an UPDATE alone locks rows as they lie.
UPDATE accounts_tries SET number = greatest(number - 1, 0)
FROM (SELECT key FROM accounts_tries WHERE key = ANY(%s::bytea[]) ORDER BY key FOR UPDATE) AS locked
WHERE accounts_tries.key = locked.key;

-- name: forget
-- What is counted at this moment can be forgotten the next time: nothing waits here.
DELETE FROM accounts_tries
WHERE key IN (SELECT key FROM accounts_tries WHERE until <= now() FOR UPDATE SKIP LOCKED);
