-- Bodies of triggers (models.py).

-- name: refuse_deleted_post
-- Checks the posts of new comments for a whole statement.
PERFORM FROM posts_post WHERE id IN (SELECT post_id FROM new_rows) ORDER BY id FOR KEY SHARE;
IF EXISTS (SELECT FROM new_rows n JOIN posts_post p ON p.id = n.post_id WHERE p.deleted IS NOT NULL)
THEN
    RAISE EXCEPTION 'A comment needs a post that is not deleted.' USING ERRCODE = 'check_violation';
END IF;
RETURN NULL;
