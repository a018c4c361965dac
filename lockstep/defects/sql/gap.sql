-- name: expected
-- By user: how many defects were created, and deleted. The log says so of what it has; of a defect whose creation, or
-- deletion, is older than the log the row does.
WITH logged AS MATERIALIZED (
    SELECT object_id::uuid AS id, kind, (coalesce(after, before) ->> 'user_id')::bigint AS user_id
    FROM changes_change
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
