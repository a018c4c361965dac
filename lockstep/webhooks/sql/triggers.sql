-- Bodies of triggers (models.py).

-- name: bump_version
NEW.updated := now(); NEW.version := OLD.version + 1; RETURN NEW;
