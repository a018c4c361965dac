-- What the worker asks and notes about endpoints. {users} is the table of users.

-- name: endpoint
-- Where to and for whom; no row when it is gone or disabled, or its owner may not sign in. The secrets are those that
-- are valid, the newest first.
SELECT e.url,
       ARRAY[e.secret] || ARRAY(SELECT old.secret FROM unnest(e.old_secrets, e.old_secrets_until) AS old (secret, until)
                                WHERE old.until > now() ORDER BY old.until DESC),
       e.failing_since IS NOT NULL, owner.id::text, owner.is_staff, e.events
FROM webhooks_endpoint e JOIN {users} owner ON owner.id = e.owner_id
WHERE e.id = %(id)s AND e.deleted IS NULL AND e.disabled IS NULL AND owner.is_active AND owner.deleted IS NULL;

-- name: in_sight
-- Whether a user may see a row as it is now; table, column and owner are the model's own.
SELECT 1 FROM {table} WHERE id = %(key)s::uuid AND deleted IS NULL AND ({column} = %(value)s OR {owner} = %(user)s::uuid);

-- name: answered
UPDATE webhooks_endpoint SET failing_since = NULL WHERE id = %(id)s;

-- name: failed
-- Since when it has failed, and whether that is too long.
UPDATE webhooks_endpoint SET failing_since = coalesce(failing_since, now())
WHERE id = %(id)s
RETURNING failing_since, failing_since < now() - %(patience)s::interval;
