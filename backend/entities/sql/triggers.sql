-- Bodies of triggers (dependents.py, folding.py).

-- name: wait_for_dependents
PERFORM FROM {table} WHERE id = NEW.id FOR UPDATE; RETURN NEW;

-- name: delete_dependents
-- Deletes the rows of {table} that refer to a deleted row by {column}, in the order of their ids, as every statement that
-- writes several.
UPDATE {table} SET deleted = NEW.deleted WHERE id = ANY (ARRAY(
    SELECT id FROM {table} WHERE {column} = NEW.id AND deleted IS NULL ORDER BY id FOR NO KEY UPDATE));
RETURN NULL;

-- name: delete_dependents_after
-- {first} locks rows that other transactions lock before these.
{first};
{include delete_dependents};

-- name: fold
NEW.{target} := lockstep_fold({sources}); RETURN NEW;
