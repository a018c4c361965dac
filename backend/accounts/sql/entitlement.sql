-- Whether a user may still write (entitlement.py), as an expression. PostgreSQL locks the rows in the order of OF, and
-- evaluates the conditions again on the locked rows.

-- name: of_session
(SELECT u.is_staff OR NOT %(actor_staff)s
 FROM accounts_user u JOIN accounts_session s ON s.user_id = u.id
 WHERE u.id = %(actor_user)s AND s.id = %(actor_session)s
   AND u.is_active AND u.deleted IS NULL AND s.revoked IS NULL AND s.expires > statement_timestamp()
 FOR KEY SHARE OF u, s)

-- name: of_admin
(SELECT u.is_staff
 FROM accounts_user u
 WHERE u.id = %(actor_user)s AND u.is_active AND u.deleted IS NULL AND u.password = %(actor_password)s
 FOR KEY SHARE OF u)
