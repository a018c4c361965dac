-- A product has a column with the names of its tags, so that a list needs no join.

-- name: show
-- Writes the tags of these products. They are locked first, in the order of their ids, and read afterwards: a concurrent
-- transaction that adds a tag waits, and then reads the committed tags.
CREATE OR REPLACE FUNCTION shop_show_tags(products uuid[]) RETURNS void LANGUAGE sql AS $$
    SELECT FROM shop_product p WHERE p.id = ANY (products) AND p.deleted IS NULL ORDER BY p.id FOR NO KEY UPDATE;
    UPDATE shop_product p SET tags = shown.tags
    FROM (
        SELECT tagged.id, ARRAY(
            SELECT t.name FROM shop_producttag l JOIN shop_tag t ON t.id = l.tag_id
            WHERE l.product_id = tagged.id AND l.deleted IS NULL AND t.deleted IS NULL
            ORDER BY lockstep_sort_key(t.name) COLLATE "C", t.id) AS tags
        FROM unnest(products) AS tagged (id)
    ) AS shown
    WHERE p.id = shown.id AND p.deleted IS NULL AND p.tags <> shown.tags;
$$;
