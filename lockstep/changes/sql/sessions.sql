-- Sessions of the server, and the notification of commits (connecting.py, pooling.py, wakeup.py).

-- name: owes_an_answer
-- Whether a session still works. One that waits for its client will not answer. NULL: this role may not see it.
SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'
FROM pg_stat_activity WHERE pid = %s AND datname = current_database();

-- name: end
-- Ends a session that does not work.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity WHERE pid = %s AND datname = current_database()
  AND NOT (state = 'active' AND wait_event_type IS DISTINCT FROM 'Client');

-- name: begin
-- The first statement of a session: applies settings, {settings} with a comma before each.
SELECT pg_backend_pid(){settings};

-- name: setting
, set_config(%s, %s, false)

-- name: listen
LISTEN {channel};

-- name: notify
-- A crash may lose a notification, so it does not wait for the disk. The setting ends with the one transaction of the
-- statement, because behind a pooler another client uses the session next.
SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, '')
