-- How many cards were tried lately; see card_tries.py.

-- name: count
-- One more under each key, within so many seconds of the first. In the order of the keys, so that two tries wait for each
-- other and neither for both. A count that would last longer than it may was begun before the clock stepped back; a minute
-- more is what another transaction may be ahead.
INSERT INTO shop_cardtry AS t (key, number, until)
SELECT key, 1, now() + %(seconds)s * interval '1 second' FROM unnest(%(keys)s::text[]) AS k (key) ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    number = CASE WHEN t.until <= now() OR t.until > excluded.until + interval '1 min' THEN 1 ELSE t.number + 1 END,
    until = CASE WHEN t.until <= now() OR t.until > excluded.until + interval '1 min' THEN excluded.until ELSE t.until END
RETURNING key, number, extract(epoch FROM until - now())::float8 AS seconds;

-- name: take_back
-- One less under each key, in the same order: an UPDATE alone locks rows as they lie.
UPDATE shop_cardtry SET number = greatest(number - 1, 0)
FROM (SELECT key FROM shop_cardtry WHERE key = ANY (%(keys)s::text[]) ORDER BY key FOR UPDATE) AS locked
WHERE shop_cardtry.key = locked.key;

-- name: forget
-- What is counted at this moment can be forgotten the next time: nothing waits here.
DELETE FROM shop_cardtry
WHERE key IN (SELECT key FROM shop_cardtry WHERE until <= now() FOR UPDATE SKIP LOCKED);
