-- Workers, periodic work, and what operators did.

-- name: workers
-- Each worker that has shown life within ten minutes, the latest first, with the seconds since.
SELECT id, seen, complaint, extract(epoch FROM now() - seen)::float8 FROM lockstep_workerheartbeat ORDER BY seen DESC;

-- name: periodic
-- When each work is next due; infinity for work that is done on request only.
SELECT name, nullif(next_at, 'infinity') FROM lockstep_periodictask;

-- name: operations
-- The operations of operators, of owners of webhook endpoints or of both, the latest first, from before one of them on.
SELECT id, at, actor, kind, subscription, parameters, outcome FROM lockstep_console_operation
WHERE (%(before)s::uuid IS NULL
       OR (at, id) < (SELECT at, id FROM lockstep_console_operation WHERE id = %(before)s))
  AND (%(by_owner)s::boolean IS NULL OR by_owner = %(by_owner)s)
  AND (%(subscription)s::text IS NULL OR subscription = %(subscription)s)
ORDER BY at DESC, id DESC LIMIT %(limit)s;

-- name: remove_old_operations
-- The oldest first, so many at a time: each is a deletion in the log, too.
DELETE FROM lockstep_console_operation WHERE id IN (
    SELECT id FROM lockstep_console_operation WHERE at < now() - %(kept)s::interval ORDER BY at LIMIT %(most)s);
