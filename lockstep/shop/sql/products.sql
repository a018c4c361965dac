-- Products as everybody sees them, written as JSON here: a list of fifty has some six hundred values that Python need not
-- look at. Others see what is on sale, owners see all of their own. {shown} is the JSON of a product p, {user} who asks.

-- name: shown
row_to_json(shown.*)::text AS shown
FROM shop_product p, LATERAL (
    SELECT p.id, p.number, p.owner_id AS owner, p.name, p.description, p.price::text, p.stock, p.state, p.tags,
           to_char(p.created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created,
           to_char(p.updated AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated
) AS shown
WHERE p.deleted IS NULL AND (p.state = 'ON_SALE' OR p.owner_id = {user})

-- name: older
-- The newest ones that are older than this one, newest first; without one, the newest of all.
SELECT p.id::text AS key, {shown}
  AND p.id < coalesce(%(place)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY p.id DESC LIMIT %(limit)s + 1;

-- name: newer
-- The oldest ones that are newer than this one, oldest first.
SELECT p.id::text AS key, {shown} AND p.id > %(place)s::uuid ORDER BY p.id LIMIT %(limit)s + 1;

-- name: page
-- Either of them, {rows}, as one row: the JSON of a page, newest first, its first and last key, and whether there are more.
SELECT coalesce('[' || string_agg(shown, ',' ORDER BY {order}) FILTER (WHERE row <= %(limit)s) || ']', '[]') AS shown,
       max(key) FILTER (WHERE row <= %(limit)s) AS first, min(key) FILTER (WHERE row <= %(limit)s) AS last,
       count(*) > %(limit)s AS more
FROM (SELECT key, shown, row_number() OVER () AS row FROM ({rows}) AS rows) AS rows;

-- name: among
SELECT p.id::text AS key, {shown} AND p.id = ANY (%(keys)s);

-- name: by_id
SELECT p.version, {shown} AND p.id = %(key)s;

-- name: by_number
SELECT p.version, {shown} AND p.number = %(key)s;
