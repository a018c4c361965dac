-- What Django cannot express about the tables of delivery, and the functions over them. `migrate` executes it once the
-- tables exist, and again when it has changed (lockstep/install.py): every statement can be repeated.

-- name: followers
-- Finds the subscriptions that follow a pattern.
CREATE INDEX IF NOT EXISTS lockstep_subscription_follows ON lockstep_subscription USING gin (follows) WITH (fastupdate = off);

-- name: letters_of_object
-- Finds the dead letters of an object. Here and not in a migration: projects on another database lack Django's operation
-- for it, and there are few dead letters.
CREATE INDEX IF NOT EXISTS lockstep_deadletter_object ON lockstep_deadletter (object_id, seq);

-- name: churn
-- These tables are queues: their rows live for milliseconds. Vacuum them by count, not by share.
ALTER TABLE lockstep_lane SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0.0, autovacuum_analyze_threshold = 5000);
ALTER TABLE lockstep_delivery SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.0, autovacuum_analyze_threshold = 5000);

-- name: followed
-- The patterns that match a change: "*", "<app>.*", "<app>.<model>.*" and "<app>.<model>.<kind>"; and whether one of these
-- is followed. An index on patterns finds the followers of a change.
CREATE OR REPLACE FUNCTION lockstep_patterns(model text, kind text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY['*', split_part(model, '.', 1) || '.*', model || '.*', model || '.' || kind]
$$;
CREATE OR REPLACE FUNCTION lockstep_followed(follows text[], model text, kind text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT follows && lockstep_patterns(model, kind)
$$;

-- name: is_placed
-- Whether a change has been fanned out at a place. All statements use this function: `window_start` alone is wrong while a
-- window is open, and shows nothing after a rewind.
CREATE OR REPLACE FUNCTION lockstep_is_placed(place lockstep_place, xid xid8, seq bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT pg_visible_in_snapshot(xid, place.window_start)
        OR place.window_end IS NOT NULL AND seq < place.window_seq AND pg_visible_in_snapshot(xid, place.window_end)
$$;

-- name: unplaced
-- The changes not fanned out at a place, by the index on (xid, seq): of writers that had not begun at window_start, or were
-- running. Both functions are inlined.
CREATE OR REPLACE FUNCTION lockstep_unplaced(place lockstep_place) RETURNS SETOF lockstep_change
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT c.* FROM lockstep_change c
    WHERE (c.xid >= pg_snapshot_xmax(place.window_start) OR c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(place.window_start))))
      AND NOT lockstep_is_placed(place, c.xid, c.seq)
$$;
