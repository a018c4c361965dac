-- Imports without capture (imports.py). {label} is a model, {table} its table, {key} the key of a row t; {document} is the
-- logged document of a row, {seen} whether the object exists.

-- name: mark
-- Marks that changes of a model were not captured, with the reason.
INSERT INTO lockstep_change (model, object_id, kind, after) VALUES (%s, %s, 'created', %s::jsonb);

-- name: differing
-- Objects whose rows differ from the log: `of_log` and `of_row` are NULL where there is none.
WITH logged AS (
    SELECT DISTINCT ON (object_id) object_id AS key, after AS document
    FROM lockstep_change WHERE model = {label} ORDER BY object_id, seq DESC
), there AS (
    SELECT {key}::text AS key, {document} AS document FROM {table} t WHERE {seen}
), differing AS (
    SELECT key, logged.document AS of_log, there.document AS of_row
    FROM there FULL JOIN logged USING (key)
    WHERE logged.document IS DISTINCT FROM there.document
)

-- name: count
{include differing}
SELECT count(*) FILTER (WHERE of_log IS NULL), count(*) FILTER (WHERE of_log IS NOT NULL AND of_row IS NOT NULL),
       count(*) FILTER (WHERE of_row IS NULL)
FROM differing;

-- name: resync
{include differing}, written AS (
    INSERT INTO lockstep_change (model, object_id, kind, before, after)
    SELECT {label}, key,
           CASE WHEN of_log IS NULL THEN 'created' WHEN of_row IS NULL THEN 'deleted' ELSE 'updated' END, of_log, of_row
    FROM differing
    RETURNING kind
)
SELECT count(*) FILTER (WHERE kind = 'created'), count(*) FILTER (WHERE kind = 'updated'),
       count(*) FILTER (WHERE kind = 'deleted')
FROM written;

-- name: alter
-- Disables or enables triggers. A table with pending deferred constraints cannot be altered.
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE {table} {triggers};
SET CONSTRAINTS ALL DEFERRED;

-- name: lock
LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE;
