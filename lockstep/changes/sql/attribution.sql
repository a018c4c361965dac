-- The attribution of a transaction (attribution.py, statements.py): settings that end with it, which are defaults of the
-- change log's columns.

-- name: attributed
-- Columns of a statement that set the attribution. The names of the parameters are none of the statement's own.
set_config('lockstep.actor', %(lockstep_actor)s, true), set_config('lockstep.origin', %(lockstep_origin)s, true),
set_config('lockstep.trace', %(lockstep_trace)s, true),
set_config('lockstep.traceparent', %(lockstep_traceparent)s, true)

-- name: set_local
-- {confirmed} is whether the actor may write.
SELECT {confirmed}, {include attributed};

-- name: confirm
SELECT {confirmed};

-- name: set_by_name
-- Before a statement of Django's that has its parameters by name.
SELECT {include attributed};

-- name: set_by_position
-- Before a statement of Django's that has its parameters by position.
SELECT set_config('lockstep.actor', %s, true), set_config('lockstep.origin', %s, true),
       set_config('lockstep.trace', %s, true), set_config('lockstep.traceparent', %s, true);
