-- Mirrors, as the database knows them; the provider is not asked.

-- name: states
-- Each mirror: when it was last read and is read next, whether mending has stopped, its last drift check and import.
SELECT wanted.provider, state.looked_at, state.look_at, state.shrunk_at, state.stopped_at, coalesce(state.reason, ''),
       latest.at, latest.counts::text, imported.completed
FROM unnest(%(providers)s::text[]) AS wanted (provider)
LEFT JOIN lockstep_mirror_mirrorstate state ON state.provider = wanted.provider
LEFT JOIN LATERAL (
    SELECT at, counts FROM lockstep_mirror_driftcheck WHERE provider = wanted.provider ORDER BY id DESC LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT completed FROM lockstep_mirror_import
    WHERE provider = wanted.provider AND completed IS NOT NULL ORDER BY id DESC LIMIT 1
) AS imported ON true
ORDER BY wanted.provider;

-- name: checks
-- How many objects differed at each of the latest drift checks, the latest first.
SELECT at, (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(counts))::float8
FROM lockstep_mirror_driftcheck WHERE provider = %(provider)s ORDER BY id DESC LIMIT %(limit)s;

-- name: unanswered
-- Writes without a clear response within the last day, counted up to a limit.
SELECT count(*) FROM (
    SELECT FROM lockstep_mirror_sentwrite WHERE collection = ANY (%(collections)s) AND NOT answered LIMIT %(limit)s
) AS sent;
