-- The session and the user of a request. {user} are the columns of the user.

-- name: of_token
-- The open session of an opaque access token.
SELECT s.id AS session, s.scope, {user}
FROM accounts_token t
JOIN accounts_session s ON s.id = t.session_id
JOIN accounts_user u ON u.id = s.user_id
WHERE t.digest = %(who_digest)s AND t.kind = 'access' AND t.expires > now()
  AND s.revoked IS NULL AND s.expires > now() AND u.is_active AND u.deleted IS NULL

-- name: of_id
-- The open session in the claims of a signed access token.
SELECT s.id AS session, s.scope, {user}
FROM accounts_session s
JOIN accounts_user u ON u.id = s.user_id
WHERE s.id = %(who_session)s AND u.id = %(who_user)s
  AND s.revoked IS NULL AND s.expires > now() AND u.is_active AND u.deleted IS NULL

-- name: bundled
-- One of the two above, and the bundled query with this user.
WITH who AS MATERIALIZED ({who})
SELECT who.*, found.* FROM who LEFT JOIN LATERAL ({bundled}) AS found ON true
