-- Conditions and bodies of the triggers of accounts_user and accounts_session (models.py) that run when an account loses a
-- right, for every writer. See entitlement.py for the locks.

-- name: is_withdrawal
OLD.deleted IS NULL AND NEW.deleted IS NOT NULL OR OLD.is_active AND NOT NEW.is_active
OR OLD.is_staff AND NOT NEW.is_staff OR OLD.is_superuser AND NOT NEW.is_superuser OR OLD.password <> NEW.password

-- name: withdraw
-- Waits for every transaction that was confirmed for this user. A deleted account keeps no password and no rights.
PERFORM FROM accounts_user WHERE id = OLD.id FOR UPDATE;
IF OLD.deleted IS NULL AND NEW.deleted IS NOT NULL THEN
    NEW.password := '!';
    NEW.last_login := NULL;
    NEW.is_staff := false;
    NEW.is_superuser := false;
END IF;
RETURN NEW;

-- name: ends_sign_in
OLD.deleted IS NULL AND NEW.deleted IS NOT NULL OR OLD.is_active AND NOT NEW.is_active OR OLD.password <> NEW.password

-- name: close_sessions
-- Sessions of a deactivated account stay closed when it is activated again; those of a deleted one are deleted, with their
-- addresses, and so are its follows. A new password may keep the session that sets it, and a rehash of the same password
-- keeps all (`keeping_sessions` in withdrawal.py). Sessions are locked before their tokens are read: a concurrent refresh adds
-- one, and holds the lock of its session.
IF NEW.deleted IS NULL THEN
    UPDATE accounts_session SET revoked = now()
    WHERE user_id = NEW.id AND revoked IS NULL
      AND (NOT NEW.is_active OR coalesce(current_setting('lockstep.kept_sessions', true), '') NOT IN ('all', id::text));
    RETURN NULL;
END IF;
PERFORM FROM accounts_session WHERE user_id = NEW.id ORDER BY id FOR UPDATE;
DELETE FROM accounts_token WHERE session_id IN (SELECT id FROM accounts_session WHERE user_id = NEW.id);
DELETE FROM accounts_session WHERE user_id = NEW.id;
UPDATE accounts_follow SET deleted = now() WHERE id IN (
    SELECT id FROM accounts_follow WHERE (follower_id = NEW.id OR followed_id = NEW.id) AND deleted IS NULL
    ORDER BY id FOR NO KEY UPDATE);
RETURN NULL;

-- name: ends_session
OLD.revoked IS NULL AND NEW.revoked IS NOT NULL OR NEW.expires < OLD.expires

-- name: withdraw_session
-- Waits for every transaction that was confirmed with this session.
PERFORM FROM accounts_session WHERE id = OLD.id FOR UPDATE;
RETURN NEW;

-- name: keep_sessions
-- The sessions that a new password in this transaction leaves open: an id, "all", or none.
SELECT set_config('lockstep.kept_sessions', %s, true);
