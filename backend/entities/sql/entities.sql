-- Bodies and conditions of triggers of entities (models.py).

-- name: bump_version
NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;

-- name: check_parent
-- Refuses a row whose parent is softly deleted. {column} refers to {key} of {parent}; {label} is the parent's model.
IF NEW.{column} IS NOT NULL THEN
    PERFORM FROM {parent} WHERE {key} = NEW.{column} AND deleted IS NULL FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% % does not exist or is deleted.', {label}, NEW.{column}
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = {constraint};
    END IF;
END IF;
RETURN NEW;

-- name: inserted_alive
NEW.deleted IS NULL

-- name: restored_or_moved
-- The row is not deleted, and was, or had another parent.
NEW.deleted IS NULL AND (OLD.deleted IS NOT NULL OR NEW.{column} IS DISTINCT FROM OLD.{column})
