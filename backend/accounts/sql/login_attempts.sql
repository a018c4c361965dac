-- Recent login attempts; see throttling.py.

-- name: count
-- Increments each key; a count ends so many seconds after its first attempt. In the order of the keys, against deadlocks. A
-- count that ends too late was begun before the clock stepped back; transactions may differ by a minute.
INSERT INTO accounts_loginattemptcount AS t (key, number, until)
SELECT key, 1, now() + seconds * interval '1 second'
FROM unnest(%s::bytea[], %s::float8[]) AS k (key, seconds)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    number = CASE WHEN t.until <= now() OR t.until > excluded.until + interval '1 min' THEN 1 ELSE t.number + 1 END,
    until = CASE WHEN t.until <= now() OR t.until > excluded.until + interval '1 min' THEN excluded.until ELSE t.until END
RETURNING key, number, extract(epoch FROM until - now())::float8;

-- name: reset
-- Decrements each key, in the same order: an UPDATE alone locks rows in their physical order.
UPDATE accounts_loginattemptcount SET number = greatest(number - 1, 0)
FROM (SELECT key FROM accounts_loginattemptcount WHERE key = ANY(%s::bytea[]) ORDER BY key FOR UPDATE) AS locked
WHERE accounts_loginattemptcount.key = locked.key;

-- name: delete_expired
-- Skips rows that are being counted; the next run deletes them.
DELETE FROM accounts_loginattemptcount
WHERE key IN (SELECT key FROM accounts_loginattemptcount WHERE until <= now() FOR UPDATE SKIP LOCKED);
