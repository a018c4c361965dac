-- Payments of orders. A payment is decided in one transaction with its order, and only while that is CONFIRMED.

-- name: waiting
-- The payment of an order that is still to be decided; for how many seconds staff have been ending it.
SELECT p.id::text, p.token, p.amount, extract(epoch FROM now() - p.ending)::float8
FROM shop_payment p JOIN shop_order o ON o.id = p.order_id
WHERE p.order_id = %(order)s AND p.decided IS NULL AND o.state = 'CONFIRMED';

-- name: decide
-- Stores the gateway's decision, and deletes the token of the card.
UPDATE shop_payment SET charge = %(charge)s, reason = %(reason)s, decided = now(), token = ''
WHERE order_id = %(order)s AND decided IS NULL
RETURNING id;

-- name: accept
-- Clears the reason of an order that staff were ending.
UPDATE shop_order SET state = 'ACCEPTED', reason = '' WHERE id = %(order)s AND state = 'CONFIRMED';

-- name: ended
-- The payment of an order that staff ended, where no charge is known.
SELECT p.id::text FROM shop_payment p JOIN shop_order o ON o.id = p.order_id
WHERE p.order_id = %(order)s AND p.ending IS NOT NULL AND p.charge = '' AND o.state = 'REJECTED';

-- name: note_late_charge
-- A charge that became known after the order was ended; it stays visible with the payment.
UPDATE shop_payment p SET charge = %(charge)s, reason = 'charged after the order was ended'
FROM shop_order o
WHERE p.order_id = %(order)s AND o.id = p.order_id AND o.state = 'REJECTED' AND p.charge IN ('', %(charge)s);
