-- A day of samples, one a minute.

-- name: record
-- One row for each name; nothing where another worker was first.
INSERT INTO lockstep_console_sample (name, at, position, waiting, failing, dead, lag)
SELECT name, date_trunc('minute', now()), position, waiting, failing, dead, lag
FROM unnest(%(names)s::text[], %(positions)s::bigint[], %(waiting)s::bigint[], %(failing)s::bigint[], %(dead)s::bigint[],
            %(lags)s::float8[]) AS sample (name, position, waiting, failing, dead, lag)
ON CONFLICT (name, at) DO NOTHING;

-- name: remove_old
DELETE FROM lockstep_console_sample WHERE at < now() - %(kept)s::interval;

-- name: recent
-- The samples of one name since some time ago, oldest first.
SELECT at, position, waiting, failing, dead, lag FROM lockstep_console_sample
WHERE name = %(name)s AND at >= now() - %(span)s::interval ORDER BY at;
