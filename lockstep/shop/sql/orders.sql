-- Orders: each is placed, given back or ended by one statement, whatever number of products it touches. Products are
-- always locked in the order of their ids, and after the order, so that two statements wait for each other and never
-- each for the other.

-- name: place
-- All or nothing. One row: the order's `number` and how it is `shown`, as JSON, where the stock was enough for every line;
-- else `lines`, with what was asked of each product, given by id or by number, where it first stands among the lines
-- (`index`), and what is available; a product that the buyer may not see is unknown. `excess` names the limit of unpaid
-- orders that it would pass (see unpaid.sql). It says itself who is writing, so that it needs no transaction around it:
-- products are locked for as long as it takes, and not for as long as a client takes to say COMMIT. {confirmed} is whether
-- the actor may still write (changes/attribution.py), decided before any product is locked; otherwise nothing is.
WITH said AS MATERIALIZED (
    SELECT set_config('lockstep.actor', %(actor)s, true), set_config('lockstep.origin', %(origin)s, true),
           set_config('lockstep.trace', %(trace)s, true), {confirmed} AS confirmed
), given AS MATERIALIZED (
    SELECT coalesce(g.product, (SELECT p.id FROM shop_product p WHERE p.number = g.number)) AS id,
           coalesce(g.product::text, g.number::text) AS name, g.position, g.quantity
    FROM unnest(%(products)s::uuid[], %(numbers)s::bigint[], %(quantities)s::bigint[])
         WITH ORDINALITY AS g (product, number, quantity, position)
), asked AS (
    SELECT id, min(name) AS name, min(position) AS position, sum(quantity)::bigint AS quantity
    FROM given GROUP BY id, CASE WHEN id IS NULL THEN position END
), locked AS MATERIALIZED (
    SELECT p.id, p.number, p.name, p.price, p.stock, p.state
    FROM shop_product p
    WHERE (SELECT confirmed FROM said) AND p.id = ANY (ARRAY(SELECT id FROM asked))
      AND p.deleted IS NULL AND (p.state = 'ON_SALE' OR p.owner_id = %(buyer)s)
    ORDER BY p.id
    FOR NO KEY UPDATE
), lines AS MATERIALIZED (
    SELECT a.name AS asked_for, a.position, a.quantity, l.id, l.number, l.name, l.price,
           CASE WHEN l.state = 'ON_SALE' THEN l.stock ELSE 0 END AS available
    FROM asked a LEFT JOIN locked l ON l.id = a.id
), verdict AS MATERIALIZED (
    SELECT coalesce(bool_and(available >= quantity), false) AND bool_and(id IS NOT NULL)
               AND bool_and(quantity <= %(most_of_one)s) AS enough,
           sum(price * quantity) AS total, sum(quantity)::bigint AS units
    FROM lines CROSS JOIN said
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
SELECT (SELECT confirmed FROM said), placed.number, row_to_json(placed.*)::text AS shown, decided.excess,
       CASE WHEN placed.number IS NULL THEN (
           SELECT json_agg(json_build_object(
               'asked_for', asked_for, 'index', position - 1, 'id', id, 'available', available, 'quantity', quantity)
               ORDER BY position)
           FROM lines)
       END AS lines
FROM decided LEFT JOIN placed ON true;

-- name: give_back
-- Ends orders that are in the state `source`, at most so many of them, and gives their stock back. Which: those of
-- `orders`, or without them those whose time to confirm is over; what somebody else is ending just now is left to them.
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
