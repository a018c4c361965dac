-- Statements of workers about endpoints. {users} is the table of users.

-- name: endpoint
-- No row for a deleted or disabled endpoint, or if its owner may not sign in. The valid secrets, newest first.
SELECT e.url,
       ARRAY[e.secret] || ARRAY(SELECT old.secret FROM unnest(e.old_secrets, e.old_secrets_until) AS old (secret, until)
                                WHERE old.until > now() ORDER BY old.until DESC),
       e.failing_since IS NOT NULL, owner.id::text, owner.is_staff, e.events
FROM lockstep_webhooks_endpoint e JOIN {users} owner ON owner.id = e.owner_id
WHERE e.id = %(id)s AND e.deleted IS NULL AND e.disabled IS NULL AND owner.is_active AND owner.deleted IS NULL;

-- name: in_sight
-- Whether a user may see the current row; table, column and owner are the model's own.
SELECT 1 FROM {table} WHERE id = %(key)s::uuid AND deleted IS NULL AND ({column} = %(value)s OR {owner} = %(user)s::uuid);

-- name: answered
UPDATE lockstep_webhooks_endpoint SET failing_since = NULL WHERE id = %(id)s;

-- name: failed
-- Since when the endpoint has failed, and whether that is too long.
UPDATE lockstep_webhooks_endpoint SET failing_since = coalesce(failing_since, now())
WHERE id = %(id)s
RETURNING failing_since, failing_since < now() - %(patience)s::interval;
