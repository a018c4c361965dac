-- Representations of products, as JSON: a list of fifty has some six hundred values, which Python need not convert. Users see
-- products on sale, and all of their own. {user} is the user.

-- name: json
-- The JSON of `columns`.
row_to_json(shown.*)::text AS shown

-- name: columns
-- The columns of a product p.
LATERAL (
    SELECT p.id, p.number, p.owner_id AS owner, p.name, p.description, p.price::text, p.stock, p.state, p.tags,
           to_char(p.created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created,
           to_char(p.updated AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated
) AS shown

-- name: visible
p.deleted IS NULL AND (p.state = 'ON_SALE' OR p.owner_id = {user})

-- name: older
-- The newest products before `place`, newest first; without it, the newest of all. One more than a page has.
SELECT p.* FROM shop_product p
WHERE {include visible} AND p.id < coalesce(%(place)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY p.id DESC LIMIT %(limit)s + 1;

-- name: newer
-- The oldest products after `place`, oldest first.
SELECT p.* FROM shop_product p WHERE {include visible} AND p.id > %(place)s::uuid ORDER BY p.id LIMIT %(limit)s + 1;

-- name: listed
-- The products with these keys, in the order of the keys.
SELECT p.* FROM unnest(%(keys)s::uuid[]) WITH ORDINALITY AS k (id, place) JOIN shop_product p USING (id)
WHERE {include visible} ORDER BY k.place

-- name: fitting
-- {rows} as JSON, without those beyond the limit of bytes except the first, which shows that there are more. Texts are at
-- least as long in JSON as here.
SELECT p.id::text AS key, {include json}
FROM (
    SELECT p.*, row_number() OVER so_far AS row,
           sum(octet_length(p.description)) OVER so_far - octet_length(p.description) AS before
    FROM ({rows}) AS p WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
) AS p, {include columns}
WHERE p.row <= 2 OR p.before <= %(bytes)s OFFSET 0

-- name: few
-- `fitting` for the usual number of rows: only the lengths as JSON are checked, which is faster.
SELECT p.id::text AS key, {include json} FROM ({rows}) AS p, {include columns} OFFSET 0

-- name: page
-- A page as one row: its JSON, newest first, its first and last key, and whether there are more. {fitting} are the rows of
-- `fitting` or `few`.
SELECT coalesce('[' || string_agg(shown, ',' ORDER BY {order}) FILTER (WHERE fits) || ']', '[]') AS shown,
       max(key) FILTER (WHERE fits) AS first, min(key) FILTER (WHERE fits) AS last,
       count(*) > count(*) FILTER (WHERE fits) AS more
FROM (
    SELECT key, shown, row_number() OVER so_far AS row, row_number() OVER so_far <= %(limit)s AND (
               row_number() OVER so_far = 1 OR sum(octet_length(shown) + 1) OVER so_far <= %(bytes)s) AS fits
    FROM ({fitting}) AS rows WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
) AS rows;

-- name: among
-- The rows one by one, and the first beyond the limit of bytes.
SELECT key, shown
FROM (
    SELECT key, shown, row_number() OVER so_far AS row,
           sum(octet_length(shown) + 1) OVER so_far - octet_length(shown) - 1 AS before
    FROM ({fitting}) AS rows WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
) AS rows
WHERE row <= 2 OR before <= %(bytes)s;

-- name: by_id
SELECT p.version, {include json} FROM shop_product p, {include columns} WHERE {include visible} AND p.id = %(key)s;

-- name: by_number
SELECT p.version, {include json} FROM shop_product p, {include columns} WHERE {include visible} AND p.number = %(key)s;
