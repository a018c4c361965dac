-- Locks that a migration waits for (migration_locks.py).

-- name: limit_lock_waits
SELECT set_config('lock_timeout', %s, false);

-- name: blockers
-- The sessions that block a session, with the beginning of their transactions.
SELECT DISTINCT pid, application_name, usename,
       to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') AS since
FROM unnest(pg_blocking_pids(%s)) AS blocker (pid) LEFT JOIN pg_stat_activity USING (pid)
ORDER BY since, pid;
