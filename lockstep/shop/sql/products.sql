-- Products as everybody sees them, written as JSON here: a list of fifty has some six hundred values that Python need not
-- look at. Others see what is on sale, owners see all of their own. {shown} is the JSON of a product p, {user} who asks.

-- name: shown
row_to_json(shown.*)::text AS shown
FROM shop_product p, LATERAL (
    SELECT p.id, p.number, p.owner_id AS owner, p.name, p.description, p.price::text, p.stock, p.state,
           ARRAY(SELECT t.name FROM shop_producttag l JOIN shop_tag t ON t.id = l.tag_id
                 WHERE l.product_id = p.id AND l.deleted IS NULL AND t.deleted IS NULL
                 ORDER BY lower(t.name)) AS tags,
           to_char(p.created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created,
           to_char(p.updated AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated
) AS shown
WHERE p.deleted IS NULL AND (p.state = 'ON_SALE' OR p.owner_id = {user})

-- name: older
-- The newest ones that are older than this one, newest first; without one, the newest of all.
SELECT p.id::text AS key, {shown}
  AND p.id < coalesce(%(place)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY p.id DESC LIMIT %(limit)s;

-- name: newer
-- The oldest ones that are newer than this one, oldest first.
SELECT p.id::text AS key, {shown} AND p.id > %(place)s::uuid ORDER BY p.id LIMIT %(limit)s;

-- name: among
SELECT p.id::text AS key, {shown} AND p.id = ANY (%(keys)s);

-- name: by_id
SELECT p.version, {shown} AND p.id = %(key)s;

-- name: by_number
SELECT p.version, {shown} AND p.number = %(key)s;
