-- How often somebody has tried lately; see throttling.py.

-- name: count
-- One more under each key, within so many seconds of the first. In the order of the keys, so that two tries wait for each
-- other and neither for both.
INSERT INTO accounts_tries AS t (key, number, until)
SELECT key, 1, now() + seconds * interval '1 second'
FROM unnest(%s::bytea[], %s::float8[]) AS k (key, seconds)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    number = CASE WHEN t.until <= now() THEN 1 ELSE t.number + 1 END,
    until = CASE WHEN t.until <= now() THEN excluded.until ELSE t.until END
RETURNING key, number, extract(epoch FROM until - now())::float8;

-- name: forgive
UPDATE accounts_tries SET number = greatest(number - 1, 0) WHERE key = ANY(%s::bytea[]);

-- name: forget
DELETE FROM accounts_tries WHERE until <= now();
