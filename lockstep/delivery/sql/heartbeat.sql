-- Which workers live, by their own word and the database's clock.

-- name: beat
-- This worker is alive. `complaint` names the parts of it that do not move; "" while all do.
WITH forgotten AS (
    DELETE FROM delivery_workerheartbeat WHERE abs(extract(epoch FROM now() - seen)) > 600 AND id <> %(id)s
)
INSERT INTO delivery_workerheartbeat (id, seen, complaint)
SELECT %(id)s, now(), %(complaint)s FROM set_config('synchronous_commit', 'off', true)
ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, complaint = excluded.complaint;

-- name: leave
-- This worker ends, and is not missed.
DELETE FROM delivery_workerheartbeat WHERE id = %(id)s;

-- name: workers
-- How many workers were seen lately and move, what the others complain of, and for how many seconds the latest of those
-- that were not seen lately is silent. A time that lies ahead is of a clock that was set back since, and says nothing.
SELECT count(*) FILTER (WHERE age <= %(fresh)s AND complaint = ''),
       min(complaint) FILTER (WHERE age <= %(fresh)s AND complaint <> ''),
       min(age) FILTER (WHERE age > %(fresh)s)
FROM (SELECT complaint, abs(extract(epoch FROM now() - seen))::float AS age FROM delivery_workerheartbeat) AS worker
WHERE age <= %(missed)s;
