-- Bodies of triggers, which run for every writer; see models.py.

-- name: record_transition
INSERT INTO shop_ordertransition (order_id, source, target, actor, reason)
SELECT n.id, o.state, n.state, nullif(current_setting('lockstep.actor', true), ''), n.reason
FROM new_rows n JOIN old_rows o ON o.id = n.id WHERE n.state <> o.state;
RETURN NULL;
