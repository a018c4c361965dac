-- How providers answered: a row for each minute, provider and outcome, over all workers.

-- name: store
-- Adds what one worker has counted to the rows of this minute.
INSERT INTO lockstep_providerminute AS stored (provider, at, outcome, operations, seconds, slowest)
SELECT provider, date_trunc('minute', now()), outcome, operations, seconds, slowest
FROM unnest(%(providers)s::text[], %(outcomes)s::text[], %(operations)s::bigint[], %(seconds)s::float8[],
            %(slowest)s::float8[]) AS counted (provider, outcome, operations, seconds, slowest)
ORDER BY provider, outcome
ON CONFLICT (provider, at, outcome) DO UPDATE
SET operations = stored.operations + excluded.operations, seconds = stored.seconds + excluded.seconds,
    slowest = greatest(stored.slowest, excluded.slowest);

-- name: remove_old
DELETE FROM lockstep_providerminute WHERE at < now() - %(kept)s::interval;
