-- Conditions and bodies of the triggers that guard states (machines.py).

-- name: wrong_initial_state
NEW.state NOT IN ({states})

-- name: wrong_transition
OLD.state IS DISTINCT FROM NEW.state AND (OLD.state, NEW.state) NOT IN ({transitions})

-- name: refuse
-- {message} has a place for {source} and one for the new state.
RAISE EXCEPTION {message}, {source}, NEW.state USING ERRCODE = 'check_violation';
