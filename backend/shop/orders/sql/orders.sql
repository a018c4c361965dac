-- Orders: each is placed or ended by one statement for any number of products. Products are always locked in the order of
-- their ids, and after the order, against deadlocks.

-- name: place
-- All or nothing. Returns one row: the order's `number` and its JSON (`shown`), if the stock is enough for every line; else
-- `lines` with the requested and available quantity of each product and the index of its first line. A product that the
-- buyer may not see is unknown. `excess` names the limit of unpaid orders that the order would exceed (see unpaid.sql). The
-- statement sets the attribution ({attributed}, of changes/attribution.py), so that it needs no transaction around it:
-- products are locked for its duration, and not until the client's COMMIT. {confirmed} is whether the actor may still write,
-- decided before any product is locked; if not, nothing is locked.
WITH actor AS MATERIALIZED (
    SELECT {attributed}, {confirmed} AS confirmed
), requested AS MATERIALIZED (
    SELECT coalesce(g.product, (SELECT p.id FROM shop_product p WHERE p.number = g.number)) AS id,
           coalesce(g.product::text, g.number::text) AS key, g.position, g.quantity
    FROM unnest(%(products)s::uuid[], %(numbers)s::bigint[], %(quantities)s::bigint[])
         WITH ORDINALITY AS g (product, number, quantity, position)
), summed AS (
    SELECT id, min(key) AS key, min(position) AS position, sum(quantity)::bigint AS quantity
    FROM requested GROUP BY id, CASE WHEN id IS NULL THEN position END
), locked AS MATERIALIZED (
    SELECT p.id, p.number, p.name, p.price, p.stock, p.state
    FROM shop_product p
    WHERE (SELECT confirmed FROM actor) AND p.id = ANY (ARRAY(SELECT id FROM summed))
      AND p.deleted IS NULL AND (p.state = 'ON_SALE' OR p.owner_id = %(buyer)s)
    ORDER BY p.id
    FOR NO KEY UPDATE
), lines AS MATERIALIZED (
    SELECT s.key, s.position, s.quantity, l.id, l.number, l.name, l.price,
           CASE WHEN l.state = 'ON_SALE' THEN l.stock ELSE 0 END AS available
    FROM summed s LEFT JOIN locked l ON l.id = s.id
), verdict AS MATERIALIZED (
    SELECT coalesce(bool_and(available >= quantity), false) AND bool_and(id IS NOT NULL)
               AND bool_and(quantity <= %(max_quantity)s) AS enough,
           sum(price * quantity) AS total, sum(quantity)::bigint AS units
    FROM lines CROSS JOIN actor
), decided AS MATERIALIZED (
    SELECT enough, total,
           CASE WHEN enough AND (%(most_orders)s::bigint IS NOT NULL OR %(most_units)s::bigint IS NOT NULL)
                THEN shop_unpaid_excess(%(buyer)s, units, %(most_orders)s::bigint, %(most_units)s::bigint) END AS excess
    FROM verdict
), placed AS (
    INSERT INTO shop_order (id, buyer_id, state, lines, total, confirm_until)
    SELECT %(id)s, %(buyer)s, %(state)s,
           (SELECT jsonb_agg(jsonb_build_object(
                'product', id, 'number', number, 'name', name, 'price', price::text, 'quantity', quantity)
                ORDER BY id) FROM lines),
           total, now() + %(seconds)s * interval '1 second'
    FROM decided WHERE enough AND excess IS NULL
    RETURNING id, number, state, reason, lines, total::text,
              to_char(confirm_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS confirm_until,
              to_char(created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created,
              to_char(updated AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated
), moved AS (
    INSERT INTO shop_movement (product_id, order_id, delta, reason, actor)
    SELECT lines.id, placed.id, -lines.quantity, 'ORDER', nullif(current_setting('lockstep.actor', true), '')
    FROM lines, placed
)
SELECT (SELECT confirmed FROM actor), placed.number, row_to_json(placed.*)::text AS shown, decided.excess,
       CASE WHEN placed.number IS NULL THEN (
           SELECT json_agg(json_build_object(
               'key', key, 'index', position - 1, 'id', id, 'available', available, 'quantity', quantity)
               ORDER BY position)
           FROM lines)
       END AS lines
FROM decided LEFT JOIN placed ON true;

-- name: release_stock
-- Ends orders in the state `source`, at most so many of them, and releases their stock: those in
-- `orders`, or else those past their deadline. Orders that a concurrent transaction ends meanwhile are skipped.
WITH ended AS MATERIALIZED (
    SELECT o.id FROM shop_order o
    WHERE o.state = %(source)s AND o.id = ANY (coalesce(%(orders)s::uuid[], ARRAY(
        SELECT id FROM shop_order due
        WHERE due.state = 'PENDING_CONFIRMATION' AND due.confirm_until <= now()
        ORDER BY due.confirm_until LIMIT %(most)s)))
    ORDER BY o.id
    FOR NO KEY UPDATE
), back AS MATERIALIZED (
    SELECT m.product_id, m.order_id, -sum(m.delta)::bigint AS delta
    FROM shop_movement m JOIN ended ON ended.id = m.order_id
    GROUP BY m.product_id, m.order_id
), locked AS MATERIALIZED (
    SELECT p.id FROM shop_product p
    WHERE p.id = ANY (ARRAY(SELECT product_id FROM back))
    ORDER BY p.id
    FOR NO KEY UPDATE
), moved AS (
    INSERT INTO shop_movement (product_id, order_id, delta, reason, actor)
    SELECT back.product_id, back.order_id, back.delta, %(movement)s, nullif(current_setting('lockstep.actor', true), '')
    FROM back JOIN locked ON locked.id = back.product_id
), gone AS (
    UPDATE shop_order o SET state = %(target)s, reason = %(reason)s FROM ended WHERE o.id = ended.id
    RETURNING o.id
)
SELECT id::text FROM gone;
