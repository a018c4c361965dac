-- What earlier migrations make, where functions that are used now may not be there yet. 0010 makes the first two anew, and
-- 0021 the third.

-- name: plain
DO $do$ BEGIN EXECUTE format($format$
    CREATE OR REPLACE FUNCTION shop_plain(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT lower(regexp_replace(left(given, 100000) COLLATE %I, '[[:punct:][:space:]]+', ' ', 'g'))
    $$
$format$, coalesce((SELECT min(collname) FROM pg_collation WHERE collname IN ('pg_c_utf8', 'und-x-icu')), 'default')); END $do$

-- name: show
CREATE FUNCTION shop_show_tags(products uuid[]) RETURNS void LANGUAGE sql AS $$
    SELECT FROM shop_product p WHERE p.id = ANY (products) AND p.deleted IS NULL ORDER BY p.id FOR NO KEY UPDATE;
    UPDATE shop_product p SET tags = shown.tags
    FROM (
        SELECT tagged.id, ARRAY(
            SELECT t.name FROM shop_producttag l JOIN shop_tag t ON t.id = l.tag_id
            WHERE l.product_id = tagged.id AND l.deleted IS NULL AND t.deleted IS NULL
            ORDER BY lower(t.name)) AS tags
        FROM unnest(products) AS tagged (id)
    ) AS shown
    WHERE p.id = shown.id AND p.deleted IS NULL AND p.tags <> shown.tags;
$$;

-- name: show_folded
CREATE OR REPLACE FUNCTION shop_show_tags(products uuid[]) RETURNS void LANGUAGE sql AS $$
    SELECT FROM shop_product p WHERE p.id = ANY (products) AND p.deleted IS NULL ORDER BY p.id FOR NO KEY UPDATE;
    UPDATE shop_product p SET tags = shown.tags
    FROM (
        SELECT tagged.id, ARRAY(
            SELECT t.name FROM shop_producttag l JOIN shop_tag t ON t.id = l.tag_id
            WHERE l.product_id = tagged.id AND l.deleted IS NULL AND t.deleted IS NULL
            ORDER BY lockstep_fold(t.name), t.name) AS tags
        FROM unnest(products) AS tagged (id)
    ) AS shown
    WHERE p.id = shown.id AND p.deleted IS NULL AND p.tags <> shown.tags;
$$;
