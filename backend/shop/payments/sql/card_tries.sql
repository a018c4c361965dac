-- Recent attempts with cards; see card_tries.py.

-- name: count
-- Increments each key; a count ends so many seconds after its first attempt. In the order of the keys, against deadlocks. A
-- count that ends too late was begun before the clock stepped back; transactions may differ by a minute.
INSERT INTO shop_cardtry AS t (key, number, until)
SELECT key, 1, now() + %(seconds)s * interval '1 second' FROM unnest(%(keys)s::text[]) AS k (key) ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    number = CASE WHEN t.until <= now() OR t.until > excluded.until + interval '1 min' THEN 1 ELSE t.number + 1 END,
    until = CASE WHEN t.until <= now() OR t.until > excluded.until + interval '1 min' THEN excluded.until ELSE t.until END
RETURNING key, number, extract(epoch FROM until - now())::float8 AS seconds;

-- name: take_back
-- Decrements each key, in the same order: an UPDATE alone locks rows in their physical order.
UPDATE shop_cardtry SET number = greatest(number - 1, 0)
FROM (SELECT key FROM shop_cardtry WHERE key = ANY (%(keys)s::text[]) ORDER BY key FOR UPDATE) AS locked
WHERE shop_cardtry.key = locked.key;

-- name: forget
-- Skips rows that are being counted; the next run deletes them.
DELETE FROM shop_cardtry
WHERE key IN (SELECT key FROM shop_cardtry WHERE until <= now() FOR UPDATE SKIP LOCKED);
