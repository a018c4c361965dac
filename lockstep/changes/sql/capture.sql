-- The bodies of the capture triggers: statement-level, one row in the log for each object whose visible state changed.
-- {label} is the model ("posts.post"), {table} its table, {pk} its key. {before} and {after} are the captured columns of
-- an old row o and of a new row n as jsonb, or NULL where the object is not there: no such row, or softly deleted.
-- Only {before} and {after} name columns, so what is not on the allow-list cannot reach the log.

-- name: insert
-- Every new row that can be seen is a created object.
INSERT INTO changes_change (model, object_id, kind, after)
SELECT '{label}', n.{pk}::text, 'created', {after}
FROM new_rows n
WHERE {after} IS NOT NULL;

-- name: update
-- The full join pairs old and new by key, so a changed key is one object deleted and another one created.
-- Nothing is written where no captured column differs. OFFSET 0 keeps the planner from building both documents twice.
INSERT INTO changes_change (model, object_id, kind, before, after)
SELECT '{label}', key, CASE WHEN before IS NULL THEN 'created' WHEN after IS NULL THEN 'deleted' ELSE 'updated' END,
       before, after
FROM (
    SELECT coalesce(n.{pk}, o.{pk})::text AS key, {before} AS before, {after} AS after
    FROM old_rows o FULL JOIN new_rows n ON n.{pk} = o.{pk}
    OFFSET 0
) AS pair
WHERE before IS DISTINCT FROM after;

-- name: delete
-- Rows that were softly deleted before are gone already.
INSERT INTO changes_change (model, object_id, kind, before)
SELECT '{label}', o.{pk}::text, 'deleted', {before}
FROM old_rows o
WHERE {before} IS NOT NULL;

-- name: truncate
-- Runs before the truncation, while the rows can still be read; its lock keeps everybody else away.
INSERT INTO changes_change (model, object_id, kind, before)
SELECT '{label}', o.{pk}::text, 'deleted', {before}
FROM {table} o
WHERE {before} IS NOT NULL;
