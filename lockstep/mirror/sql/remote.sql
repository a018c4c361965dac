-- The known state of the copy of one object at the provider.

-- name: find
SELECT remote_id, intent, acknowledged
FROM lockstep_mirror_remoteobject WHERE object_id = %(object_id)s AND collection = %(collection)s;

-- name: parent
-- The provider's id of an object that children refer to; none while the provider lacks it.
SELECT remote_id FROM lockstep_mirror_remoteobject
WHERE object_id = %(object_id)s AND collection = %(collection)s
  AND remote_id IS NOT NULL AND acknowledged IS NOT NULL;

-- name: record_intent
-- Recorded before a write that must not be sent twice: the next attempt looks the copy up before it sends again.
INSERT INTO lockstep_mirror_remoteobject (object_id, collection, intent)
VALUES (%(object_id)s, %(collection)s, %(intent)s)
ON CONFLICT (object_id, collection) DO UPDATE SET intent = excluded.intent;

-- name: begin_creation
-- The same for a creation, which is also a sent write: its copy may appear later, or twice.
WITH sent AS (
    INSERT INTO lockstep_mirror_sentwrite (at, collection, object_id, kind, fingerprint)
    VALUES (clock_timestamp(), %(collection)s, %(object_id)s, 'create', %(fingerprint)s)
    RETURNING id
), noted AS (
    INSERT INTO lockstep_mirror_remoteobject (object_id, collection, intent)
    VALUES (%(object_id)s, %(collection)s, %(intent)s)
    ON CONFLICT (object_id, collection) DO UPDATE SET intent = excluded.intent
)
SELECT id::text FROM sent;

-- name: withdraw_creation
-- The creation certainly did not arrive.
WITH withdrawn AS (DELETE FROM lockstep_mirror_sentwrite WHERE id = %(sent)s)
UPDATE lockstep_mirror_remoteobject SET intent = NULL WHERE object_id = %(object_id)s AND collection = %(collection)s;

-- name: note_unanswered
-- An update or a deletion that may have taken effect, or may do so later.
INSERT INTO lockstep_mirror_sentwrite (at, collection, object_id, kind, remote_id, fingerprint)
VALUES (clock_timestamp(), %(collection)s, %(object_id)s, %(kind)s, %(remote_id)s, %(fingerprint)s);

-- name: fingerprints
-- Of all bodies that our writes may have left under the object's id.
SELECT fingerprint FROM lockstep_mirror_sentwrite WHERE object_id = %(object_id)s AND collection = %(collection)s
UNION SELECT acknowledged FROM lockstep_mirror_remoteobject WHERE object_id = %(object_id)s AND collection = %(collection)s;

-- name: acknowledge
-- The provider acknowledged the body with this fingerprint (NULL: the deletion) under this id. The time is of the clock,
-- not of the transaction, which may have waited for the lock.
WITH settled AS (UPDATE lockstep_mirror_sentwrite SET answered = true WHERE id = %(sent)s)
INSERT INTO lockstep_mirror_remoteobject (object_id, collection, remote_id, acknowledged, acknowledged_at)
VALUES (%(object_id)s, %(collection)s, %(remote_id)s, %(fingerprint)s, clock_timestamp())
ON CONFLICT (object_id, collection) DO UPDATE
SET remote_id = excluded.remote_id, acknowledged = excluded.acknowledged, acknowledged_at = excluded.acknowledged_at,
    intent = NULL, verified_at = NULL, unkept_at = NULL;

-- name: acknowledge_update
-- The same for an existing copy; no row if another object got the id meanwhile.
UPDATE lockstep_mirror_remoteobject
SET acknowledged = %(fingerprint)s, acknowledged_at = clock_timestamp(), intent = NULL, verified_at = NULL,
    unkept_at = NULL
WHERE object_id = %(object_id)s AND collection = %(collection)s AND remote_id = %(remote_id)s
RETURNING remote_id;

-- name: unlink_previous_owner
-- An id that was assigned to this object is taken from its previous owner, whose copy is gone. At a provider where no write
-- of ours was ever seen, in any collection, owners keep it: such a provider returns the same id for every object.
UPDATE lockstep_mirror_remoteobject SET remote_id = NULL
WHERE collection = %(collection)s AND remote_id = %(remote_id)s AND object_id <> %(object_id)s
  AND (verified_at IS NOT NULL OR EXISTS (
      SELECT FROM lockstep_mirror_remoteobject kept
      WHERE kept.collection = ANY (%(collections)s) AND kept.verified_at > kept.acknowledged_at))
RETURNING object_id;

-- name: unlink
-- The copy under this id is missing. An object that appears there later with the same fingerprint is the old copy.
WITH lost AS (
    UPDATE lockstep_mirror_remoteobject SET remote_id = NULL
    WHERE object_id = %(object_id)s AND collection = %(collection)s AND remote_id = %(remote_id)s
    RETURNING acknowledged
)
INSERT INTO lockstep_mirror_sentwrite (at, collection, object_id, kind, remote_id, fingerprint)
SELECT clock_timestamp(), %(collection)s, %(object_id)s, 'delete', %(remote_id)s, acknowledged
FROM lost WHERE acknowledged IS NOT NULL;

-- name: lock_remote_id
-- The owner of a remote id is decided for one object at a time.
SELECT pg_advisory_xact_lock(hashtextextended(%(collection)s || '/' || %(remote_id)s, 0));

-- name: take
-- A found copy becomes this object's, unless it is another one's. An object whose deletion got no response loses it: the
-- copy differs from what was to be deleted, or is as good as this object's.
WITH given_up AS (
    UPDATE lockstep_mirror_remoteobject SET remote_id = NULL
    WHERE collection = %(collection)s AND remote_id = %(remote_id)s AND object_id <> %(object_id)s AND intent ? 'delete'
)
UPDATE lockstep_mirror_remoteobject SET remote_id = %(remote_id)s
WHERE object_id = %(object_id)s AND collection = %(collection)s AND NOT EXISTS (
    SELECT FROM lockstep_mirror_remoteobject other
    WHERE other.collection = %(collection)s AND other.remote_id = %(remote_id)s AND other.object_id <> %(object_id)s
      AND NOT coalesce(other.intent ? 'delete', false))
RETURNING remote_id;

-- name: taken
-- Those of these ids that belong to other objects of ours.
SELECT remote_id FROM lockstep_mirror_remoteobject
WHERE collection = %(collection)s AND remote_id = ANY (%(remote_ids)s) AND object_id <> %(object_id)s;

-- name: verify
-- The acknowledged copy was read at the provider. So the provider persists writes, and of all objects that got this id
-- only the last has it. Returns for each whether it has lost it.
UPDATE lockstep_mirror_remoteobject copy
SET remote_id = CASE WHEN copy.acknowledged_at < last.acknowledged_at THEN NULL ELSE copy.remote_id END,
    verified_at = CASE WHEN copy.object_id = %(object_id)s THEN now() ELSE copy.verified_at END,
    unkept_at = CASE WHEN copy.object_id = %(object_id)s THEN NULL ELSE copy.unkept_at END
FROM (
    SELECT max(acknowledged_at) AS acknowledged_at FROM lockstep_mirror_remoteobject
    WHERE collection = %(collection)s AND remote_id = %(remote_id)s
) AS last
WHERE copy.collection = %(collection)s AND copy.remote_id = %(remote_id)s
RETURNING copy.remote_id IS NULL;

-- name: miss
-- An acknowledged copy was not found.
UPDATE lockstep_mirror_remoteobject SET verified_at = NULL, unkept_at = now()
WHERE object_id = %(object_id)s AND collection = %(collection)s AND remote_id = %(remote_id)s;

-- name: keeps_writes
-- Whether any acknowledged write of ours was ever read at the provider. (An import acknowledges and verifies at once.)
-- Counts would not tell: one deletion at a json-server removes a burst of creations before they are read.
SELECT EXISTS (
    SELECT FROM lockstep_mirror_remoteobject WHERE collection = ANY (%(collections)s) AND verified_at > acknowledged_at);

-- name: forget
-- The copy is gone: its id may be reused now. An object that appears there later with the same fingerprint is the old copy.
WITH gone AS (
    DELETE FROM lockstep_mirror_remoteobject WHERE object_id = %(object_id)s AND collection = %(collection)s
    RETURNING remote_id, acknowledged
)
INSERT INTO lockstep_mirror_sentwrite (at, collection, object_id, kind, remote_id, fingerprint, answered)
SELECT clock_timestamp(), %(collection)s, %(object_id)s, 'delete', remote_id, coalesce(%(fingerprint)s, acknowledged),
       %(answered)s
FROM gone WHERE remote_id IS NOT NULL AND coalesce(%(fingerprint)s, acknowledged) IS NOT NULL;
