-- Products as everybody sees them, written as JSON here: a list of fifty has some six hundred values that Python need not
-- look at. Others see what is on sale, owners see all of their own. {columns} are what is shown of a product p, {json} is
-- that as JSON, {user} who asks.

-- name: json
row_to_json(shown.*)::text AS shown

-- name: columns
LATERAL (
    SELECT p.id, p.number, p.owner_id AS owner, p.name, p.description, p.price::text, p.stock, p.state, p.tags,
           to_char(p.created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created,
           to_char(p.updated AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated
) AS shown

-- name: visible
p.deleted IS NULL AND (p.state = 'ON_SALE' OR p.owner_id = {user})

-- name: older
-- The newest ones that are older than this one, newest first; without one, the newest of all. One more than a page has.
SELECT p.* FROM shop_product p
WHERE {visible} AND p.id < coalesce(%(place)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY p.id DESC LIMIT %(limit)s + 1;

-- name: newer
-- The oldest ones that are newer than this one, oldest first.
SELECT p.* FROM shop_product p WHERE {visible} AND p.id > %(place)s::uuid ORDER BY p.id LIMIT %(limit)s + 1;

-- name: listed
-- Those with these keys, in the order of the keys.
SELECT p.* FROM unnest(%(keys)s::uuid[]) WITH ORDINALITY AS k (id, place) JOIN shop_product p USING (id)
WHERE {visible} ORDER BY k.place

-- name: fitting
-- {rows} as JSON, without those that a page cannot have room for: of these only the first is left, so
-- that it is known that there are more. Texts are as long in JSON as they are here, or longer.
SELECT p.id::text AS key, {json}
FROM (
    SELECT p.*, row_number() OVER so_far AS row,
           sum(octet_length(p.description)) OVER so_far - octet_length(p.description) AS before
    FROM ({rows}) AS p WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
) AS p, {columns}
WHERE p.row <= 2 OR p.before <= %(bytes)s OFFSET 0

-- name: few
-- The same of a page's usual number of rows: their lengths are looked at as JSON only, which is quicker.
SELECT p.id::text AS key, {json} FROM ({rows}) AS p, {columns} OFFSET 0

-- name: page
-- They as one row: the JSON of a page, newest first, its first and last key, and whether there are more.
SELECT coalesce('[' || string_agg(shown, ',' ORDER BY {order}) FILTER (WHERE fits) || ']', '[]') AS shown,
       max(key) FILTER (WHERE fits) AS first, min(key) FILTER (WHERE fits) AS last,
       count(*) > count(*) FILTER (WHERE fits) AS more
FROM (
    SELECT key, shown, row_number() OVER so_far AS row, row_number() OVER so_far <= %(limit)s AND (
               row_number() OVER so_far = 1 OR sum(octet_length(shown) + 1) OVER so_far <= %(bytes)s) AS fits
    FROM ({fitting}) AS rows WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
) AS rows;

-- name: among
-- They one by one, and the first that a page has no room for.
SELECT key, shown
FROM (
    SELECT key, shown, row_number() OVER so_far AS row,
           sum(octet_length(shown) + 1) OVER so_far - octet_length(shown) - 1 AS before
    FROM ({fitting}) AS rows WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
) AS rows
WHERE row <= 2 OR before <= %(bytes)s;

-- name: by_id
SELECT p.version, {json} FROM shop_product p, {columns} WHERE {visible} AND p.id = %(key)s;

-- name: by_number
SELECT p.version, {json} FROM shop_product p, {columns} WHERE {visible} AND p.number = %(key)s;
