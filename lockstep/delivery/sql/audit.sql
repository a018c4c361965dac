-- Compares log and rows. {label} is a model, {table} its table, {key} the key of a row t; {document} is the logged
-- document of a row, {seen} whether the object exists.

-- name: compare
-- In one snapshot: the number of objects, how many of them are older than the log, the digests of both sides, and the
-- keys of those that differ. Compares the columns that both have: a column captured after an object's last change is not
-- in the log, and one that only another version captures is not in this version's document. The digest is a sum over the
-- objects, in no order.
WITH logged AS (
    SELECT DISTINCT ON (object_id) object_id AS key, after AS document
    FROM lockstep_change WHERE model = {label} ORDER BY object_id, seq DESC
), there AS (
    SELECT {key}::text AS key, {document} AS document FROM {table} t WHERE {seen}
), pair AS (
    SELECT key, logged.key IS NULL AS unlogged,
           CASE WHEN there.document IS NULL OR logged.document IS NULL OR there.document = logged.document
                THEN logged.document
                ELSE (SELECT coalesce(jsonb_object_agg(each.key, each.value), '{}') FROM jsonb_each(logged.document) AS each
                      WHERE there.document ? each.key)
           END AS of_log,
           CASE WHEN there.document IS NULL OR logged.document IS NULL OR there.document = logged.document
                THEN there.document
                ELSE (SELECT coalesce(jsonb_object_agg(each.key, each.value), '{}') FROM jsonb_each(there.document) AS each
                      WHERE logged.document ? each.key)
           END AS of_row
    FROM there FULL JOIN logged USING (key)
), judged AS (
    SELECT *, unlogged AND EXISTS (SELECT FROM lockstep_epoch WHERE dropped IS NOT NULL) AS older FROM pair
)
SELECT count(*) FILTER (WHERE of_row IS NOT NULL), count(*) FILTER (WHERE older),
       coalesce(sum(hashtextextended(key || of_row, 0)) FILTER (WHERE NOT older), 0)::text,
       coalesce(sum(hashtextextended(key || of_log, 0)), 0)::text,
       coalesce(array_agg(key ORDER BY key) FILTER (WHERE NOT older AND of_row IS DISTINCT FROM of_log), '{}')
FROM judged;
