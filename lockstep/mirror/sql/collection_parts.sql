-- Parts of the statements in collection.sql (collection_sql.py).

-- name: fingerprint
-- What `remote.fingerprint` computes.
md5(concat_ws(E'\x1f', {values}))::uuid

-- name: document
jsonb_build_object({pairs})

-- name: parent_id
-- The parent here of a provider's object e; {remote} is its parent there.
(
    SELECT parent.id FROM lockstep_mirror_remoteobject link JOIN {table} parent ON parent.id = link.object_id
    WHERE link.collection = {key} AND link.remote_id = {remote}::text
      AND parent.deleted IS NULL LIMIT 1)

-- name: our_parent_join
LEFT JOIN lockstep_mirror_remoteobject parent ON parent.object_id = {column} AND parent.collection = {key}

-- name: parent_number
-- A number where the id is one: some providers give their numbers as strings.
CASE WHEN parent.remote_id ~ '^[0-9]{1,18}$' THEN to_jsonb((parent.remote_id)::bigint) ELSE to_jsonb(parent.remote_id) END
