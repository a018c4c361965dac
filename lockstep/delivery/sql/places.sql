-- Places in the change log, and the one answer to "is it fanned out?". Run once, by the migration that adds places.

-- name: new_place
-- The place of a new subscription: all that commits after this statement's snapshot is new to it.
CREATE FUNCTION delivery_new_place() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    INSERT INTO delivery_place (window_start) VALUES (pg_current_snapshot()) RETURNING id
$$;

-- name: is_placed
-- Whether a change has been fanned out at a place. Everything that asks this, asks here: `window_start` alone is wrong
-- while a window is open, and shows nothing at all after a rewind.
CREATE FUNCTION delivery_is_placed(place delivery_place, xid xid8, seq bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT pg_visible_in_snapshot(xid, place.window_start)
        OR place.window_end IS NOT NULL AND seq < place.window_seq AND pg_visible_in_snapshot(xid, place.window_end)
$$;

-- name: unplaced
-- What has not been, by the index on (xid, seq): writers that had not begun at window_start, or were running. Both
-- functions are inlined where they are called.
CREATE FUNCTION delivery_unplaced(place delivery_place) RETURNS SETOF changes_change
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT c.* FROM changes_change c
    WHERE (c.xid >= pg_snapshot_xmax(place.window_start) OR c.xid = ANY (ARRAY(SELECT pg_snapshot_xip(place.window_start))))
      AND NOT delivery_is_placed(place, c.xid, c.seq)
$$;

-- name: followers
-- Patterns that take a change, and who has one of them: an index finds those few among all.
CREATE FUNCTION delivery_patterns(model text, kind text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY['*', split_part(model, '.', 1) || '.*', model || '.*', model || '.' || kind]
$$;
CREATE OR REPLACE FUNCTION delivery_followed(follows text[], model text, kind text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT follows && delivery_patterns(model, kind)
$$;
