-- Bodies of triggers, which run for every writer; see triggers.py.

-- name: open_ledger
-- The initial stock of a product is its first movement.
INSERT INTO shop_movement (product_id, delta, reason, actor)
SELECT n.id, n.stock, 'OPENING', nullif(current_setting('lockstep.actor', true), '')
FROM new_rows n WHERE n.stock <> 0;
RETURN NULL;

-- name: correct_ledger
-- A new stock is a correction by the difference. A product with another key is another product.
INSERT INTO shop_movement (product_id, delta, reason, actor)
SELECT coalesce(n.id, o.id), coalesce(n.stock, 0) - coalesce(o.stock, 0), 'CORRECTION',
       nullif(current_setting('lockstep.actor', true), '')
FROM new_rows n FULL JOIN old_rows o ON o.id = n.id WHERE coalesce(n.stock, 0) <> coalesce(o.stock, 0);
RETURN NULL;

-- name: close_ledger
-- A removed row has no stock; a new row may get its id.
INSERT INTO shop_movement (product_id, delta, reason, actor)
SELECT o.id, -o.stock, 'CORRECTION', nullif(current_setting('lockstep.actor', true), '')
FROM {rows} o WHERE o.stock <> 0;
RETURN NULL;

-- name: move_stock
-- Adds the movements to the stock. Each needs an existing product: the stock of one that is created later under that id
-- would lack them. Rows are counted first, which costs less than counting products.
UPDATE shop_product p SET stock = p.stock + d.delta
FROM (SELECT product_id, sum(delta)::bigint AS delta FROM new_rows GROUP BY product_id) AS d
WHERE p.id = d.product_id;
GET DIAGNOSTICS moved = ROW_COUNT;
IF moved <> (SELECT count(*) FROM new_rows) THEN
    IF moved <> (SELECT count(DISTINCT product_id) FROM new_rows) THEN
        RAISE EXCEPTION 'A movement needs a product.' USING ERRCODE = 'check_violation';
    END IF;
END IF;
RETURN NULL;

-- name: index_new
PERFORM shop_index(ARRAY(SELECT id FROM new_rows));
RETURN NULL;

-- name: index_words
PERFORM shop_index(ARRAY[NEW.id]); RETURN NULL;

-- name: linked
-- A product's tags are part of its representation and of its search entry.
PERFORM shop_show_tags(ARRAY(SELECT DISTINCT product_id FROM new_rows));
PERFORM shop_index(ARRAY(SELECT DISTINCT product_id FROM new_rows));
RETURN NULL;

-- name: relinked
PERFORM shop_show_tags(ARRAY(SELECT product_id FROM old_rows UNION SELECT product_id FROM new_rows));
PERFORM shop_index(ARRAY(SELECT product_id FROM old_rows UNION SELECT product_id FROM new_rows));
RETURN NULL;

-- name: unlinked
PERFORM shop_show_tags(ARRAY(SELECT DISTINCT product_id FROM old_rows));
PERFORM shop_index(ARRAY(SELECT DISTINCT product_id FROM old_rows));
RETURN NULL;

-- name: tagged
-- A tag was renamed or deleted. Products are locked before their search entries, in the same order as by a write.
PERFORM shop_show_tags(ARRAY(SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL));
PERFORM shop_index(ARRAY(SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL));
RETURN NULL;

-- name: lock_tagged
-- A tag was deleted: its products are locked before its links, in the same order as when a tag is removed.
PERFORM FROM shop_product WHERE id IN (SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL)
ORDER BY id FOR NO KEY UPDATE;

-- name: never_emptied
RAISE EXCEPTION 'The ledger is never emptied.' USING ERRCODE = 'restrict_violation';
