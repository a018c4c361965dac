-- Runs: long work that operators request and workers do.

-- name: request
-- Adds a run; no row where one of the same mirror is open.
INSERT INTO lockstep_console_run (kind, mirror, plan_id, parameters, actor, summary)
VALUES (%(kind)s, %(mirror)s, %(plan)s, %(parameters)s, %(actor)s, '{}')
ON CONFLICT DO NOTHING RETURNING id;

-- name: keep
-- Keeps a plan until the end of the transaction.
SELECT id FROM lockstep_console_run WHERE id = %(plan)s FOR KEY SHARE;

-- name: remove_old
-- Removes runs of a kind and a mirror beyond the latest ones, with their differences.
WITH old AS MATERIALIZED (
    SELECT id FROM lockstep_console_run WHERE mirror = %(mirror)s AND kind = %(kind)s AND state IN ('done', 'failed')
    ORDER BY id DESC OFFSET %(kept)s
), freed AS (
    UPDATE lockstep_console_run SET plan_id = NULL WHERE plan_id IN (SELECT id FROM old) AND id NOT IN (SELECT id FROM old)
), gone AS (
    DELETE FROM lockstep_console_difference WHERE run_id IN (SELECT id FROM old)
)
DELETE FROM lockstep_console_run WHERE id IN (SELECT id FROM old);

-- name: end_lost
-- Ends runs whose worker is gone and that must not be, or were too often, claimed again. A lease that ends later than any
-- begins is from before the clock stepped back.
UPDATE lockstep_console_run SET state = 'failed', ended = clock_timestamp(), lease_until = NULL,
       outcome = CASE WHEN kind = 'apply'
                      THEN 'Interrupted: its worker ended. What was carried out is below; plan again to see what is left.'
                      ELSE 'Interrupted: its workers ended, one after the other.' END
WHERE state = 'running' AND lease_until NOT BETWEEN clock_timestamp() AND clock_timestamp() + %(lease)s::interval
  AND (kind = 'apply' OR attempts >= %(most)s);

-- name: claim
-- Claims runs that wait, and those whose worker is gone; what these have found is removed.
WITH free AS MATERIALIZED (
    SELECT id FROM lockstep_console_run
    WHERE state = 'waiting'
       OR state = 'running' AND kind <> 'apply'
          AND lease_until NOT BETWEEN clock_timestamp() AND clock_timestamp() + %(lease)s::interval
    ORDER BY id FOR UPDATE SKIP LOCKED
), cleared AS (
    DELETE FROM lockstep_console_difference WHERE run_id IN (SELECT id FROM free)
)
UPDATE lockstep_console_run run
SET state = 'running', attempts = run.attempts + 1, lease_until = clock_timestamp() + %(lease)s::interval,
    began = clock_timestamp(), step = '', done = 0, total = NULL
FROM free WHERE run.id = free.id
RETURNING run.id, run.kind, run.mirror, run.plan_id, run.parameters, run.attempts;

-- name: renew
-- Renews the lease and writes the progress; no row where the run was lost.
UPDATE lockstep_console_run
SET lease_until = clock_timestamp() + %(lease)s::interval, step = %(step)s, done = %(done)s, total = %(total)s
WHERE id = %(id)s AND attempts = %(attempts)s AND state = 'running' RETURNING id;

-- name: finish
UPDATE lockstep_console_run
SET state = %(state)s, ended = clock_timestamp(), lease_until = NULL, outcome = %(outcome)s, summary = %(summary)s,
    step = '', done = %(done)s, total = %(total)s
WHERE id = %(id)s AND attempts = %(attempts)s AND state = 'running';

-- name: add_differences
-- Adds a batch, unless the run was lost.
INSERT INTO lockstep_console_difference
    (run_id, number, kind, collection, model, object_id, name, remote_id, fields, is_own, signature, outcome, failed)
SELECT %(id)s, number, kind, collection, model, object_id, name, remote_id, fields, is_own, signature, '', false
FROM jsonb_to_recordset(%(batch)s::jsonb) AS one (number int, kind text, collection text, model text, object_id text,
     name text, remote_id text, fields jsonb, is_own boolean, signature uuid)
WHERE EXISTS (SELECT FROM lockstep_console_run WHERE id = %(id)s AND attempts = %(attempts)s AND state = 'running');

-- name: copy_differences
-- What a plan has found and a push can mend, as what this run applies.
INSERT INTO lockstep_console_difference
    (run_id, number, kind, collection, model, object_id, name, remote_id, fields, is_own, signature, outcome, failed)
SELECT %(id)s, number, kind, collection, model, object_id, name, remote_id, fields, is_own, signature, '', false
FROM lockstep_console_difference WHERE run_id = %(plan)s AND kind <> 'not_persisted'
RETURNING number, kind, collection, object_id, remote_id, signature;

-- name: note_outcomes
UPDATE lockstep_console_difference difference SET outcome = noted.outcome, failed = noted.failed
FROM jsonb_to_recordset(%(batch)s::jsonb) AS noted (number int, outcome text, failed boolean)
WHERE difference.run_id = %(id)s AND difference.number = noted.number;

-- name: copies
-- How many copies are known, acknowledged, verified, not persisted, and have a write without a response, by collection.
SELECT collection, count(*), count(acknowledged),
       count(*) FILTER (WHERE acknowledged IS NOT NULL AND verified_at IS NOT NULL),
       count(*) FILTER (WHERE unkept_at IS NOT NULL), count(intent)
FROM lockstep_mirror_remoteobject WHERE collection = ANY (%(collections)s) GROUP BY collection ORDER BY collection;

-- name: runs
-- The runs of a mirror, or the audits, the latest first, from before one of them on.
SELECT id, kind, state, actor, requested_at, began, ended, outcome FROM lockstep_console_run
WHERE mirror = %(mirror)s AND (%(before)s::uuid IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s;

-- name: latest
-- The latest run of each of these mirrors.
SELECT wanted.mirror, run.id, run.kind, run.state, run.actor, run.requested_at, run.began, run.ended, run.outcome
FROM unnest(%(mirrors)s::text[]) AS wanted (mirror)
CROSS JOIN LATERAL (
    SELECT * FROM lockstep_console_run WHERE mirror = wanted.mirror ORDER BY id DESC LIMIT 1
) AS run;

-- name: differences
-- The differences of a run from a number on, filtered.
SELECT number, kind, collection, model, object_id, name, remote_id, fields, is_own, outcome, failed
FROM lockstep_console_difference
WHERE run_id = %(run)s AND number > %(after)s
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(collection)s::text IS NULL OR collection = %(collection)s)
  AND (%(field)s::text IS NULL OR fields @> jsonb_build_array(jsonb_build_object('field', %(field)s::text)))
  AND (%(key)s::text IS NULL OR %(key)s IN (name, object_id, remote_id))
  AND (%(is_own)s::boolean IS NULL OR is_own = %(is_own)s)
  AND (%(result)s::text IS NULL
       OR CASE %(result)s WHEN 'failed' THEN failed WHEN 'done' THEN outcome = 'done'
                       ELSE NOT failed AND outcome <> 'done' END)
ORDER BY number LIMIT %(limit)s;
