-- What the database does by itself, whoever writes. Bodies of statement-level triggers; models.py says of which.

-- name: open_ledger
-- A product begins with the stock that it was made with.
INSERT INTO shop_movement (product_id, delta, reason, actor)
SELECT n.id, n.stock, 'OPENING', nullif(current_setting('lockstep.actor', true), '')
FROM new_rows n WHERE n.stock <> 0;
RETURN NULL;

-- name: correct_ledger
-- The stock was set: the ledger says by how much. A product that changes nothing here changes nothing there. Under another
-- key it is another product.
INSERT INTO shop_movement (product_id, delta, reason, actor)
SELECT coalesce(n.id, o.id), coalesce(n.stock, 0) - coalesce(o.stock, 0), 'CORRECTION',
       nullif(current_setting('lockstep.actor', true), '')
FROM new_rows n FULL JOIN old_rows o ON o.id = n.id WHERE coalesce(n.stock, 0) <> coalesce(o.stock, 0);
RETURN NULL;

-- name: close_ledger
-- A removed row has no stock. The ledger says so, because a new row may get its id.
INSERT INTO shop_movement (product_id, delta, reason, actor)
SELECT o.id, -o.stock, 'CORRECTION', nullif(current_setting('lockstep.actor', true), '')
FROM {rows} o WHERE o.stock <> 0;
RETURN NULL;

-- name: move_stock
-- Movements were written: the stock follows, and never below zero. There are none of a product that there is not: one that
-- is made later under that id would not have them in its stock. Rows are counted first, which costs less than products.
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

-- name: record_transition
INSERT INTO shop_ordertransition (order_id, source, target, actor, reason)
SELECT n.id, o.state, n.state, nullif(current_setting('lockstep.actor', true), ''), n.reason
FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.state <> o.state;
RETURN NULL;

-- name: index_new
PERFORM shop_index(ARRAY(SELECT id FROM new_rows));
RETURN NULL;

-- name: linked
-- A product's tags are a part of how it is shown, and words that it is found by.
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
-- A tag has another name, or is gone. Products are locked before what they are found by, as by whoever writes a product.
PERFORM shop_show_tags(ARRAY(SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL));
PERFORM shop_index(ARRAY(SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL));
RETURN NULL;

-- name: lock_tagged
-- A tag is gone: its products are locked before its links, as by who takes a tag off a product, or deletes the product.
PERFORM FROM shop_product WHERE id IN (SELECT product_id FROM shop_producttag WHERE tag_id = NEW.id AND deleted IS NULL)
ORDER BY id FOR NO KEY UPDATE;
