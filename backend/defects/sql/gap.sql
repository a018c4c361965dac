-- name: expected
-- The numbers of created and deleted defects by user, from the log, and from the row for a creation or deletion that is
-- older than the log.
WITH logged AS MATERIALIZED (
    SELECT object_id::uuid AS id, kind, (coalesce(after, before) ->> 'user_id')::bigint AS user_id
    FROM lockstep_change
    WHERE model = 'defects.defect' AND kind IN ('created', 'deleted')
), counted AS (
    SELECT user_id, kind FROM logged
    UNION ALL
    SELECT d.user_id, 'created' FROM defects_defect d
    WHERE NOT EXISTS (SELECT FROM logged l WHERE l.id = d.id AND l.kind = 'created')
    UNION ALL
    SELECT d.user_id, 'deleted' FROM defects_defect d
    WHERE d.deleted IS NOT NULL AND NOT EXISTS (SELECT FROM logged l WHERE l.id = d.id AND l.kind = 'deleted')
)
SELECT user_id, count(*) FILTER (WHERE kind = 'created'), count(*) FILTER (WHERE kind = 'deleted')
FROM counted GROUP BY user_id ORDER BY user_id;
