-- The attribution of a transaction (attribution.py, statements.py): settings that end with it, which are defaults of the
-- change log's columns.

-- name: attributed
-- Columns of a statement that set the attribution.
set_config('lockstep.actor', %(actor)s, true), set_config('lockstep.origin', %(origin)s, true),
set_config('lockstep.trace', %(trace)s, true), set_config('lockstep.traceparent', %(traceparent)s, true)

-- name: set_local
-- {confirmed} is whether the actor may write.
SELECT {confirmed}, {include attributed};

-- name: confirm
SELECT {confirmed};

-- name: tell
-- Before a statement of Django's that has its parameters by position.
SELECT set_config('lockstep.actor', %s, true), set_config('lockstep.origin', %s, true),
       set_config('lockstep.trace', %s, true), set_config('lockstep.traceparent', %s, true);

-- name: tell_by_name
-- Before a statement of Django's that has its parameters by name.
SELECT set_config('lockstep.actor', %(lockstep_actor)s, true), set_config('lockstep.origin', %(lockstep_origin)s, true),
       set_config('lockstep.trace', %(lockstep_trace)s, true),
       set_config('lockstep.traceparent', %(lockstep_traceparent)s, true);
