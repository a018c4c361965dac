-- Statements of workers about endpoints.

-- name: endpoint
-- No row for a deleted or disabled endpoint, or if its owner is not active. The valid secrets, newest first.
-- {users}, {key}, {is_active} and {is_staff} are of the project's user model.
SELECT e.url,
       ARRAY[e.secret] || ARRAY(SELECT old.secret FROM unnest(e.old_secrets, e.old_secrets_until) AS old (secret, until)
                                WHERE old.until > now() ORDER BY old.until DESC),
       e.failing_since IS NOT NULL, e.owner_id::text, {is_staff}, e.events
FROM lockstep_webhooks_endpoint e JOIN {users} owner ON {key} = e.owner_id
WHERE e.id = %(id)s AND e.deleted IS NULL AND e.disabled IS NULL AND {is_active};

-- name: in_sight
-- Whether a user may see the current row; the names are the model's own. A soft-deleted row is not seen.
SELECT 1 FROM {table} WHERE {key} = %(key)s AND {alive} AND ({column} = %(value)s OR {owner} = %(user)s);

-- name: answered
UPDATE lockstep_webhooks_endpoint SET failing_since = NULL WHERE id = %(id)s;

-- name: failed
-- Since when the endpoint has failed, and whether that is too long.
UPDATE lockstep_webhooks_endpoint SET failing_since = coalesce(failing_since, now())
WHERE id = %(id)s
RETURNING failing_since, failing_since < now() - %(patience)s::interval;
