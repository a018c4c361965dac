-- The state of a provider, and when it is read.

-- name: state
SELECT shrunk_at <= clock_timestamp() - %(second_look)s::interval AS is_confirmed, shrunk_at IS NOT NULL AS is_suspected,
       CASE WHEN stopped_at IS NOT NULL THEN reason END AS stopped
FROM lockstep_mirror_mirrorstate WHERE provider = %(provider)s;

-- name: look_later
-- The earlier of two requests counts.
INSERT INTO lockstep_mirror_mirrorstate AS state (provider, look_at) VALUES (%(provider)s, clock_timestamp() + %(delay)s)
ON CONFLICT (provider) DO UPDATE SET look_at = least(state.look_at, excluded.look_at);

-- name: looked
-- Records a read that began then; requests until then are done.
INSERT INTO lockstep_mirror_mirrorstate AS state (provider, looked_at) VALUES (%(provider)s, %(began)s)
ON CONFLICT (provider) DO UPDATE SET
    looked_at = excluded.looked_at, look_at = CASE WHEN state.look_at > excluded.looked_at THEN state.look_at END;

-- name: is_due
-- Whether a read is due: by request, or by the age of a write without a response since the last read.
SELECT EXISTS (SELECT FROM lockstep_mirror_mirrorstate WHERE provider = %(provider)s AND look_at <= clock_timestamp())
    OR EXISTS (
        SELECT FROM lockstep_mirror_sentwrite sent CROSS JOIN unnest(%(ages)s::interval[]) AS age
        WHERE sent.collection = ANY (%(collections)s) AND NOT sent.answered AND sent.at + age <= clock_timestamp()
          AND sent.at + age > coalesce(
              (SELECT looked_at FROM lockstep_mirror_mirrorstate WHERE provider = %(provider)s), '-infinity'));

-- name: suspect
UPDATE lockstep_mirror_mirrorstate SET shrunk_at = coalesce(shrunk_at, clock_timestamp()) WHERE provider = %(provider)s;

-- name: stop
UPDATE lockstep_mirror_mirrorstate SET stopped_at = clock_timestamp(), reason = %(reason)s WHERE provider = %(provider)s;

-- name: resume
UPDATE lockstep_mirror_mirrorstate SET shrunk_at = NULL, stopped_at = NULL, reason = ''
WHERE provider = %(provider)s AND (shrunk_at IS NOT NULL OR stopped_at IS NOT NULL);

-- name: forget_old_writes
DELETE FROM lockstep_mirror_sentwrite WHERE at < clock_timestamp() - %(age)s::interval;

-- name: was_imported
SELECT EXISTS (SELECT FROM lockstep_mirror_import WHERE provider = %(provider)s AND completed IS NOT NULL);

-- name: last_drift
-- How many objects differed at the last drift check; no row before the first.
SELECT coalesce((SELECT sum(value::bigint) FROM jsonb_each_text(counts)), 0)::float8
FROM lockstep_mirror_driftcheck WHERE provider = %(provider)s ORDER BY at DESC LIMIT 1;

-- name: note_drift
INSERT INTO lockstep_mirror_driftcheck (provider, counts) VALUES (%s, %s);
