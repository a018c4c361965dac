-- What we know of the copy of one object at the provider.

-- name: find
SELECT remote_id, intent, acknowledged
FROM mirror_remoteobject WHERE object_id = %(object_id)s AND collection = %(collection)s;

-- name: parent
-- The provider's id of an object that children refer to; none while it is not there.
SELECT remote_id FROM mirror_remoteobject
WHERE object_id = %(object_id)s AND collection = %(collection)s
  AND remote_id IS NOT NULL AND acknowledged IS NOT NULL;

-- name: intend
-- Written before something is sent that must not be sent twice: whoever finds it looks before sending again.
INSERT INTO mirror_remoteobject (object_id, collection, intent)
VALUES (%(object_id)s, %(collection)s, %(intent)s)
ON CONFLICT (object_id, collection) DO UPDATE SET intent = excluded.intent;

-- name: acknowledge
-- The provider said yes to the body with this fingerprint (NULL: to the deletion) under this id. The time is of the
-- clock, not of the transaction: who waited for the lock came later.
INSERT INTO mirror_remoteobject (object_id, collection, remote_id, acknowledged, acknowledged_at)
VALUES (%(object_id)s, %(collection)s, %(remote_id)s, %(fingerprint)s, clock_timestamp())
ON CONFLICT (object_id, collection) DO UPDATE
SET remote_id = excluded.remote_id, acknowledged = excluded.acknowledged, acknowledged_at = excluded.acknowledged_at,
    intent = NULL, verified_at = NULL, unkept_at = NULL;

-- name: acknowledge_update
-- The same for a copy that was there before; no row when the id was given to another object meanwhile.
UPDATE mirror_remoteobject
SET acknowledged = %(fingerprint)s, acknowledged_at = clock_timestamp(), intent = NULL, verified_at = NULL,
    unkept_at = NULL
WHERE object_id = %(object_id)s AND collection = %(collection)s AND remote_id = %(remote_id)s
RETURNING remote_id;

-- name: dispossess
-- An id that was given to this object is nobody else's any more: the other copy is gone. Where no write of ours was ever
-- seen, in any collection of the provider, the others keep it: a provider that forgets gives every object the same id.
UPDATE mirror_remoteobject SET remote_id = NULL
WHERE collection = %(collection)s AND remote_id = %(remote_id)s AND object_id <> %(object_id)s
  AND (verified_at IS NOT NULL OR EXISTS (
      SELECT FROM mirror_remoteobject kept
      WHERE kept.collection = ANY (%(collections)s) AND kept.verified_at > kept.acknowledged_at))
RETURNING object_id;

-- name: disown
-- The copy under this id is not there any more.
UPDATE mirror_remoteobject SET remote_id = NULL
WHERE object_id = %(object_id)s AND collection = %(collection)s AND remote_id = %(remote_id)s;

-- name: lock_remote_id
-- Who gets a remote id is decided for one object at a time.
SELECT pg_advisory_xact_lock(hashtextextended(%(collection)s || '/' || %(remote_id)s, 0));

-- name: take
-- A copy that was found becomes this object's, unless it is another one's already. An object whose deletion got no answer
-- gives it up: the copy is not as it was then, or it is as good as this one's.
WITH given_up AS (
    UPDATE mirror_remoteobject SET remote_id = NULL
    WHERE collection = %(collection)s AND remote_id = %(remote_id)s AND object_id <> %(object_id)s AND intent ? 'delete'
)
UPDATE mirror_remoteobject SET remote_id = %(remote_id)s
WHERE object_id = %(object_id)s AND collection = %(collection)s AND NOT EXISTS (
    SELECT FROM mirror_remoteobject other
    WHERE other.collection = %(collection)s AND other.remote_id = %(remote_id)s AND other.object_id <> %(object_id)s
      AND NOT coalesce(other.intent ? 'delete', false))
RETURNING remote_id;

-- name: taken
-- Which of these ids belong to other objects of ours.
SELECT remote_id FROM mirror_remoteobject
WHERE collection = %(collection)s AND remote_id = ANY (%(remote_ids)s) AND object_id <> %(object_id)s;

-- name: verify
-- Seen at the provider after it said yes. So it keeps writes, and of all that were given this id only the last still has
-- it: returns for each whether it has lost it.
UPDATE mirror_remoteobject copy
SET remote_id = CASE WHEN copy.acknowledged_at < last.acknowledged_at THEN NULL ELSE copy.remote_id END,
    verified_at = CASE WHEN copy.object_id = %(object_id)s THEN now() ELSE copy.verified_at END,
    unkept_at = CASE WHEN copy.object_id = %(object_id)s THEN NULL ELSE copy.unkept_at END
FROM (
    SELECT max(acknowledged_at) AS acknowledged_at FROM mirror_remoteobject
    WHERE collection = %(collection)s AND remote_id = %(remote_id)s
) AS last
WHERE copy.collection = %(collection)s AND copy.remote_id = %(remote_id)s
RETURNING copy.remote_id IS NULL;

-- name: miss
-- Looked for after the provider said yes, and not seen.
UPDATE mirror_remoteobject SET verified_at = NULL, unkept_at = now()
WHERE object_id = %(object_id)s AND collection = %(collection)s AND remote_id = %(remote_id)s;

-- name: keeps_writes
-- Whether any write of ours was ever seen at the provider after it said yes. (An import acknowledges and verifies at
-- once.) Counting would not do: one deletion at a json-server sweeps away a burst of creations before they are seen.
SELECT EXISTS (
    SELECT FROM mirror_remoteobject WHERE collection = ANY (%(collections)s) AND verified_at > acknowledged_at);

-- name: forget
-- The copy is gone and was seen to be gone: its id may be given to something else now.
DELETE FROM mirror_remoteobject WHERE object_id = %(object_id)s AND collection = %(collection)s;
