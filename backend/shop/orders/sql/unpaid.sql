-- The limit of one user's unpaid orders; called when an order is placed (orders.sql).

-- name: excess
-- The limit that one more order of so many units would exceed: "orders", "units" or NULL. Orders of one buyer wait here for
-- each other until the transaction ends, after they have locked their products: the count afterwards, in a statement of its
-- own, includes all orders placed before. Orders of other buyers do not wait.
CREATE OR REPLACE FUNCTION shop_unpaid_excess(the_buyer uuid, units bigint, most_orders bigint, most_units bigint)
RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    -- An expression, which costs a third of what PERFORM does. Text, because no variable holds what it returns.
    locked text := pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('shop.unpaid ' || the_buyer::text, 0));
    orders bigint;
    held bigint;
BEGIN
    SELECT count(*), coalesce(sum(
        (SELECT sum((line ->> 'quantity')::bigint) FROM pg_catalog.jsonb_array_elements(o.lines) AS line)), 0)
    INTO orders, held
    FROM shop_order o
    WHERE o.buyer_id = the_buyer AND o.state IN ('PENDING_CONFIRMATION', 'CONFIRMED');
    RETURN CASE WHEN orders >= most_orders THEN 'orders' WHEN held + units > most_units THEN 'units' END;
END $$;
