-- The newest changes of the log.

-- name: newest
-- Those that match, among a window of the newest before a number: a filter that nothing matches must not read the whole
-- log. A parameter that is NULL does not restrict them.
SELECT seq, at, model, object_id, kind, before, after, actor, origin, trace, xid::text
FROM (
    {window}
) AS looked
WHERE (%(model)s::text IS NULL OR model = %(model)s)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(origin)s::text IS NULL OR origin = %(origin)s)
  AND (%(trace)s::text IS NULL OR trace = %(trace)s)
ORDER BY seq DESC
LIMIT %(limit)s;

-- name: window_of_log
-- By the primary key, which begins with seq in every week of the log.
SELECT * FROM lockstep_change WHERE seq < %(before)s ORDER BY seq DESC LIMIT %(window)s

-- name: window_of_object
-- By the index on (object_id, seq).
SELECT * FROM lockstep_change WHERE object_id = %(object_id)s AND seq < %(before)s ORDER BY seq DESC LIMIT %(window)s

-- name: window_end
-- The oldest change of a whole window; no row where the log has fewer.
SELECT seq, at FROM (
    {window}
) AS looked
ORDER BY seq DESC
OFFSET %(window)s - 1;
