-- What is known of a provider as a whole, and when it is looked at.

-- name: state
SELECT shrunk_at <= clock_timestamp() - %(second_look)s::interval AS is_confirmed, shrunk_at IS NOT NULL AS is_suspected,
       CASE WHEN stopped_at IS NOT NULL THEN reason END AS stopped
FROM mirror_mirrorstate WHERE provider = %(provider)s;

-- name: look_later
-- The earlier of two wishes counts.
INSERT INTO mirror_mirrorstate AS state (provider, look_at) VALUES (%(provider)s, clock_timestamp() + %(delay)s)
ON CONFLICT (provider) DO UPDATE SET look_at = least(state.look_at, excluded.look_at);

-- name: looked
-- A look that began then has been made: what was wanted by then is done.
INSERT INTO mirror_mirrorstate AS state (provider, looked_at) VALUES (%(provider)s, %(began)s)
ON CONFLICT (provider) DO UPDATE SET
    looked_at = excluded.looked_at, look_at = CASE WHEN state.look_at > excluded.looked_at THEN state.look_at END;

-- name: is_due
-- Whether it is time for a look: one was wanted, or a write without an answer has become so old since the last one.
SELECT EXISTS (SELECT FROM mirror_mirrorstate WHERE provider = %(provider)s AND look_at <= clock_timestamp())
    OR EXISTS (
        SELECT FROM mirror_sentwrite sent CROSS JOIN unnest(%(ages)s::interval[]) AS age
        WHERE sent.collection = ANY (%(collections)s) AND NOT sent.answered AND sent.at + age <= clock_timestamp()
          AND sent.at + age > coalesce(
              (SELECT looked_at FROM mirror_mirrorstate WHERE provider = %(provider)s), '-infinity'));

-- name: suspect
UPDATE mirror_mirrorstate SET shrunk_at = coalesce(shrunk_at, clock_timestamp()) WHERE provider = %(provider)s;

-- name: stop
UPDATE mirror_mirrorstate SET stopped_at = clock_timestamp(), reason = %(reason)s WHERE provider = %(provider)s;

-- name: go_on
UPDATE mirror_mirrorstate SET shrunk_at = NULL, stopped_at = NULL, reason = ''
WHERE provider = %(provider)s AND (shrunk_at IS NOT NULL OR stopped_at IS NOT NULL);

-- name: forget_old_writes
DELETE FROM mirror_sentwrite WHERE at < clock_timestamp() - %(age)s::interval;

-- name: was_imported
SELECT EXISTS (SELECT FROM mirror_import WHERE provider = %(provider)s AND completed IS NOT NULL);
