-- Statements over a whole collection. They are the same for every collection but for its names, which are filled in:
-- {key} is '<provider>/<collection>', {table} and {columns} are ours, {typed} are the provider's fields with their types
-- and {values} the same as values of our columns, {parent_id} is the parent here. {fingerprint_of_e} and
-- {fingerprint_of_t} are the MD5 of all that we mirror, of a provider's typed object e and of a row t of ours; {theirs}
-- and {ours} are the same as jsonb.

-- name: take_in
-- Inserts one batch of usable, distinct objects of the provider's, as JSON. Known objects (alive, changed here or deleted)
-- stay as they are, because this database is the master; so do those that are being created there. Returns the number of
-- new ones without a parent here, and of inserted ones. The ids are UUIDs of version 7 whose random bits come from a
-- seed, because the system's random numbers take longer than the rest of a row.
WITH fresh AS MATERIALIZED (
    SELECT e.*, {parent_id} AS parent_id
    FROM json_to_recordset(%(batch)s::json) AS e ({typed})
    WHERE NOT EXISTS (
        SELECT FROM lockstep_mirror_remoteobject known
        WHERE known.collection = {key} AND known.remote_id = e.id::text)
      AND NOT EXISTS (
        SELECT FROM lockstep_mirror_remoteobject lost
        WHERE lost.collection = {key} AND lost.intent IS NOT NULL AND lost.intent -> 'create' = {theirs})
      AND NOT ({fingerprint_of_e} IN (
          SELECT fingerprint FROM lockstep_mirror_sentwrite
          WHERE collection = {key} AND kind = 'create' AND fingerprint IS NOT NULL))
      AND NOT ((e.id::text, {fingerprint_of_e}) IN (
          SELECT remote_id, fingerprint FROM lockstep_mirror_sentwrite
          WHERE collection = {key} AND kind = 'delete' AND remote_id IS NOT NULL AND fingerprint IS NOT NULL))
), wanted AS MATERIALIZED (
    SELECT (%(time)s || overlay(left(md5(%(seed)s || e.id), 19) PLACING 'a' FROM 4 FOR 1))::uuid AS object_id, e.*,
           CASE WHEN e.id > %(largest_kept)s OR EXISTS (SELECT FROM {table} taken WHERE taken.number = e.id)
                THEN nextval({numbers_name}) ELSE e.id END AS number
    FROM fresh e WHERE {has_parent}
), placed AS (
    INSERT INTO {table} (id, number, {columns})
    SELECT object_id, number, {values} FROM wanted e
), linked AS (
    INSERT INTO lockstep_mirror_remoteobject (object_id, collection, remote_id, acknowledged, acknowledged_at, verified_at)
    SELECT object_id, {key}, id::text, {fingerprint_of_e}, now(), now() FROM wanted e
)
SELECT (SELECT count(*) FROM fresh WHERE NOT ({has_parent})), (SELECT count(*) FROM wanted);

-- name: lock_numbers
SELECT pg_advisory_xact_lock(hashtextextended({numbers_name}, 0));

-- name: claim_numbers
-- New objects get numbers beyond this one from now on. Never backwards: a number that is drawn between reading and setting
-- the sequence must not be drawn again. A thousand are not drawn in that time; numbers of a smaller step are drawn here.
SELECT CASE WHEN step > 1000 THEN setval({numbers_name}, %(largest)s)
            ELSE (SELECT max(nextval({numbers_name})) FROM generate_series(1, step)) END
FROM (SELECT %(largest)s - CASE WHEN is_called THEN last_value ELSE last_value - 1 END AS step FROM {numbers}) AS ahead
WHERE step > 0;

-- name: make_listing
CREATE TEMPORARY TABLE {listing} (remote_id text PRIMARY KEY, fingerprint uuid NOT NULL, body jsonb NOT NULL);

-- name: fill_listing
COPY {listing} (remote_id, fingerprint, body) FROM STDIN;

-- name: compare
-- The plan: the changes that make the provider equal to us. `known` is the known state of each copy.
-- Objects that were pushed after the listing began are left out, since the listing may be older; so are those that are
-- being pushed now.
-- "not_persisted" is a write that the provider acknowledged and never showed, where it persists no writes: pushing again
-- cannot repair it.
-- "self_inflicted" copies were seen at the provider before and are gone, or were not seen (or not seen to go) after a push,
-- or lost their id to another one, or were pushed so lately that another write may have replaced them since; or a write of
-- ours without a clear response may have taken effect late, twice or not at all.
-- "gone" ones were seen at the provider before and are not.
CREATE TEMPORARY TABLE {plan} AS
SELECT CASE
           WHEN NOT %(keeps_writes)s AND ours.object_id IS NULL AND known.object_id IS NOT NULL
                AND known.acknowledged IS NULL AND known.unkept_at IS NOT NULL THEN 'not_persisted'
           WHEN ours.object_id IS NULL THEN 'delete'
           WHEN NOT %(keeps_writes)s AND ours.acknowledged = ours.fingerprint AND ours.verified_at IS NULL
                AND ours.unkept_at IS NOT NULL THEN 'not_persisted'
           WHEN listed.remote_id IS NULL THEN 'create'
           ELSE 'update'
       END AS kind,
       coalesce(ours.object_id, known.object_id) AS object_id, ours.number,
       coalesce(listed.remote_id, ours.remote_id) AS remote_id, listed.body AS theirs,
       coalesce(listed.fingerprint, ours.fingerprint) AS fingerprint,
       listed.remote_id IS NULL AND ours.remote_id IS NOT NULL AND ours.verified_at IS NOT NULL AS gone,
       coalesce(listed.remote_id IS NULL AND ours.verified_at IS NOT NULL OR ours.unkept_at IS NOT NULL
                OR ours.remote_id IS NULL AND ours.acknowledged_at IS NOT NULL
                OR ours.acknowledged_at > %(began)s - interval '10 s'
                   AND ours.acknowledged_at IS DISTINCT FROM ours.verified_at  -- which an import makes equal
                OR known.unkept_at IS NOT NULL, false)
       OR coalesce(ours.acknowledged IS NOT NULL AND ours.verified_at IS NULL, false)
       OR coalesce(ours.object_id IN (
              SELECT object_id FROM lockstep_mirror_sentwrite WHERE collection = {key} AND NOT answered), false)
       OR coalesce(ours.object_id IS NOT NULL AND listed.remote_id IN (
              SELECT remote_id FROM lockstep_mirror_sentwrite WHERE collection = {key} AND NOT answered), false)
       OR coalesce(ours.object_id IS NULL AND known.object_id IS NULL AND (
              listed.fingerprint IN (
                  SELECT fingerprint FROM lockstep_mirror_sentwrite WHERE collection = {key} AND kind = 'create')
              OR (listed.remote_id, listed.fingerprint) IN (
                  SELECT remote_id, fingerprint FROM lockstep_mirror_sentwrite WHERE collection = {key} AND kind = 'delete')
          ), false) AS self_inflicted
FROM (
    SELECT t.id AS object_id, t.number, known.remote_id, {fingerprint_of_t} AS fingerprint,
           known.acknowledged, known.verified_at, known.acknowledged_at, known.unkept_at
    FROM {table} t
    LEFT JOIN lockstep_mirror_remoteobject known ON known.object_id = t.id AND known.collection = {key}
    {our_parent_join}
    WHERE t.deleted IS NULL
) AS ours
FULL JOIN {listing} listed ON listed.remote_id = ours.remote_id
LEFT JOIN LATERAL (
    SELECT object_id, acknowledged, acknowledged_at, unkept_at FROM lockstep_mirror_remoteobject
    WHERE ours.object_id IS NULL AND collection = {key} AND remote_id = listed.remote_id
    LIMIT 1
) AS known ON true
WHERE ours.fingerprint IS DISTINCT FROM listed.fingerprint
  AND coalesce(ours.acknowledged_at, known.acknowledged_at, '-infinity') < %(began)s
  AND NOT (ours.object_id IS NULL AND EXISTS (
      SELECT FROM lockstep_mirror_remoteobject lost
      WHERE lost.collection = {key} AND lost.intent IS NOT NULL AND lost.intent -> 'create' = listed.body));

-- name: verify_listed
-- Marks acknowledged copies that are in the listing as verified.
UPDATE lockstep_mirror_remoteobject known SET verified_at = now(), unkept_at = NULL
FROM {listing} listed
WHERE known.collection = {key} AND known.remote_id = listed.remote_id AND known.verified_at IS NULL
  AND known.acknowledged = listed.fingerprint;

-- name: drop_listing
DROP TABLE IF EXISTS {listing}, {plan};

-- name: count_plan
SELECT kind, count(*), count(*) FILTER (WHERE self_inflicted AND kind <> 'not_persisted'), count(*) FILTER (WHERE gone)
FROM {plan} GROUP BY kind;

-- name: count_seen
-- The number of copies of ours that were seen at the provider.
SELECT count(*) FROM lockstep_mirror_remoteobject
WHERE collection = {key} AND remote_id IS NOT NULL AND verified_at IS NOT NULL AND acknowledged IS NOT NULL;

-- name: adopt
-- Links a missing copy to an unlinked one with the same fingerprint: the provider has given it another id. The old id is
-- recorded, in case both appear one day.
WITH lost AS (
    SELECT object_id, remote_id, fingerprint,
           row_number() OVER (PARTITION BY fingerprint ORDER BY remote_id::numeric) AS place
    FROM {plan} WHERE kind = 'create' AND gone
), found AS (
    SELECT remote_id, fingerprint, row_number() OVER (PARTITION BY fingerprint ORDER BY remote_id::numeric) AS place
    FROM {plan} WHERE kind = 'delete' AND object_id IS NULL
), adopted AS (
    UPDATE lockstep_mirror_remoteobject copy SET remote_id = found.remote_id, acknowledged = found.fingerprint
    FROM lost JOIN found USING (fingerprint, place)
    WHERE copy.collection = {key} AND copy.object_id = lost.object_id AND copy.remote_id = lost.remote_id
      AND NOT EXISTS (
          SELECT FROM lockstep_mirror_remoteobject other
          WHERE other.collection = {key} AND other.remote_id = found.remote_id)
    RETURNING copy.object_id, lost.remote_id AS was, found.fingerprint
)
INSERT INTO lockstep_mirror_sentwrite (at, collection, object_id, kind, remote_id, fingerprint, answered)
SELECT clock_timestamp(), {key}, object_id, 'delete', was, fingerprint, true FROM adopted;

-- name: drop_plan
DROP TABLE IF EXISTS {plan};

-- name: read_plan
SELECT plan.kind, plan.object_id::text, plan.number, plan.remote_id, plan.theirs, CASE WHEN t.id IS NOT NULL THEN {ours} END,
       plan.self_inflicted, plan.fingerprint
FROM {plan} plan
LEFT JOIN {table} t ON t.id = plan.object_id AND t.deleted IS NULL
{our_parent_join}
WHERE plan.kind = ANY (%(kinds)s) ORDER BY plan.kind, plan.number, plan.remote_id::numeric;

-- name: read_row
-- The captured columns of one object, as in the change log; no row for a deleted one.
SELECT to_jsonb(t) FROM {table} t WHERE t.id = %(object_id)s AND t.deleted IS NULL;
