-- What Django's migrations cannot say about the tables of delivery. Run once, by the first migration.

-- name: due
-- Finds due lanes of a subscription; `failure` beside it finds those that wait for a remote to come back.
CREATE INDEX delivery_lane_due ON delivery_lane (subscription_id, next_at);
CREATE INDEX delivery_lane_waiting ON delivery_lane (subscription_id, next_at) WHERE failure = 'unreachable';

-- name: churn
-- These tables are queues: their rows live for milliseconds. Vacuum them by count, not by share.
ALTER TABLE delivery_lane SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0.0, autovacuum_analyze_threshold = 5000);
ALTER TABLE delivery_delivery SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.0, autovacuum_analyze_threshold = 5000);

-- name: followed
-- Whether one of these patterns takes a change: "*", "<app>.*", "<app>.<model>.*" or "<app>.<model>.<kind>".
CREATE FUNCTION delivery_followed(follows text[], model text, kind text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT follows && ARRAY['*', split_part(model, '.', 1) || '.*', model || '.*', model || '.' || kind]
$$;

-- name: draw_token
-- A fencing token. Random, so that none comes again, also where the database crashed and forgot that it was drawn.
CREATE FUNCTION delivery_draw_token() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT hashtextextended(gen_random_uuid()::text, 0)
$$;
