-- name: differing
-- Products whose stock is not the sum of their movements; there are none, unless a trigger was disabled.
SELECT p.number, p.stock, coalesce(m.sum, 0) AS summed
FROM shop_product p
LEFT JOIN (SELECT product_id, sum(delta) AS sum FROM shop_movement GROUP BY product_id) AS m ON m.product_id = p.id
WHERE p.stock <> coalesce(m.sum, 0)
ORDER BY p.number LIMIT 20;

-- name: number
SELECT count(*) AS count FROM shop_product;
