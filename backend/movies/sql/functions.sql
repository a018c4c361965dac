-- Functions that the first migration creates.

-- name: wilson
-- The lower end of the 95 % interval of the share of upvotes (Wilson's score); 0 without any vote.
CREATE OR REPLACE FUNCTION movies_wilson(up bigint, down bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE WHEN up + down = 0 THEN 0 ELSE
    ((up + 1.9208::double precision) / (up + down)
     - 1.96 * sqrt(up::double precision * down / (up + down) + 0.9604) / (up + down))
    / (1 + 3.8416::double precision / (up + down)) END;
