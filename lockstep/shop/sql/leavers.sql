-- name: remove_products
-- Locked in the order of their ids, as every order locks them.
UPDATE shop_product SET deleted = now() WHERE id = ANY (ARRAY(
    SELECT id FROM shop_product WHERE owner_id = ANY (%(owners)s::uuid[]) AND deleted IS NULL
    ORDER BY id FOR NO KEY UPDATE));
