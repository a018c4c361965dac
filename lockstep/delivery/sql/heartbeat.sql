-- The workers' heartbeats, by the database's clock.

-- name: beat
-- Renews a worker's row. `complaint` names its stalled parts; "" for none. Returns the database's time, in seconds.
WITH forgotten AS (
    DELETE FROM lockstep_workerheartbeat WHERE abs(extract(epoch FROM now() - seen)) > 600 AND id <> %(id)s
)
INSERT INTO lockstep_workerheartbeat (id, seen, complaint)
SELECT %(id)s, now(), %(complaint)s FROM set_config('synchronous_commit', 'off', true)
ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, complaint = excluded.complaint
RETURNING extract(epoch FROM clock_timestamp())::float8;

-- name: leave
-- Removes the row of a worker that stops.
DELETE FROM lockstep_workerheartbeat WHERE id = %(id)s;

-- name: workers
-- The number of workers with a recent beat and no complaint, a complaint of the others, and for how many seconds the latest
-- of those without a recent beat is silent. A time in the future is of a clock that was set back since.
SELECT count(*) FILTER (WHERE age <= %(fresh)s AND complaint = ''),
       min(complaint) FILTER (WHERE age <= %(fresh)s AND complaint <> ''),
       min(age) FILTER (WHERE age > %(fresh)s)
FROM (SELECT complaint, abs(extract(epoch FROM now() - seen))::float AS age FROM lockstep_workerheartbeat) AS worker
WHERE age <= %(missed)s;

-- name: counts
-- The numbers of workers that move, hang, and have been silent for less than the time after which they count as gone.
SELECT count(*) FILTER (WHERE age <= %(fresh)s AND complaint = ''),
       count(*) FILTER (WHERE age <= %(fresh)s AND complaint <> ''),
       count(*) FILTER (WHERE age > %(fresh)s)
FROM (SELECT complaint, abs(extract(epoch FROM now() - seen))::float AS age FROM lockstep_workerheartbeat) AS worker
WHERE age <= %(missed)s;
