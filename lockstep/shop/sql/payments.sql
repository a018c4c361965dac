-- How orders are paid. A payment is decided in one transaction with its order, and only while that is CONFIRMED.

-- name: waiting
-- The payment of an order that is still to be decided.
SELECT p.id::text, p.token, p.amount
FROM shop_payment p JOIN shop_order o ON o.id = p.order_id
WHERE p.order_id = %(order)s AND p.decided IS NULL AND o.state = 'CONFIRMED';

-- name: decide
-- What the gateway said; what stands for the card is not needed any more.
UPDATE shop_payment SET charge = %(charge)s, reason = %(reason)s, decided = now(), token = ''
WHERE order_id = %(order)s AND decided IS NULL
RETURNING id;

-- name: accept
UPDATE shop_order SET state = 'ACCEPTED' WHERE id = %(order)s AND state = 'CONFIRMED';
