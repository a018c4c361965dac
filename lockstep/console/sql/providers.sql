-- How providers answered in the last hour, and what of their subscriptions fails.

-- name: outcomes
-- The operations of each provider by outcome.
SELECT provider, outcome, sum(operations)::bigint, sum(seconds)::float8, max(slowest), max(at)
FROM lockstep_providerminute WHERE at >= now() - %(span)s::interval
GROUP BY provider, outcome ORDER BY provider, sum(operations) DESC, outcome;

-- name: minutes
-- The operations of each provider by minute: all, the failed ones, and their average time in seconds.
SELECT provider, at, sum(operations)::bigint, coalesce(sum(operations) FILTER (WHERE outcome <> ''), 0)::bigint,
       (sum(seconds) / greatest(sum(operations), 1))::float8
FROM lockstep_providerminute WHERE at >= now() - %(span)s::interval
GROUP BY provider, at ORDER BY provider, at;

-- name: failures
-- The objects of these subscriptions whose last attempt failed, by the kind of failure; counted up to a limit.
SELECT wanted.name, lane.failure, count(*)
FROM unnest(%(names)s::text[]) AS wanted (name)
CROSS JOIN LATERAL (
    SELECT failure FROM lockstep_lane WHERE subscription_id = wanted.name ORDER BY next_at DESC LIMIT %(limit)s
) AS lane
WHERE lane.failure IS NOT NULL
GROUP BY wanted.name, lane.failure ORDER BY wanted.name, count(*) DESC, lane.failure;
