-- Bodies of statement-level triggers, which run for every writer; see models.py.

-- name: open_tally
INSERT INTO movies_tally (movie_id) SELECT id FROM new_rows;
RETURN NULL;

-- name: count_insert
-- Tallies are locked in the order of their movies, against deadlocks.
PERFORM FROM movies_tally WHERE movie_id IN (SELECT movie_id FROM new_rows) ORDER BY movie_id FOR NO KEY UPDATE;
UPDATE movies_tally t SET upvotes = t.upvotes + v.up, downvotes = t.downvotes + v.down
FROM (
    SELECT movie_id, count(*) FILTER (WHERE rating_type = 'UPVOTE') AS up,
           count(*) FILTER (WHERE rating_type = 'DOWNVOTE') AS down
    FROM new_rows WHERE deleted IS NULL GROUP BY movie_id
) AS v
WHERE t.movie_id = v.movie_id;
RETURN NULL;

-- name: count_update
PERFORM FROM movies_tally
WHERE movie_id IN (SELECT movie_id FROM new_rows UNION SELECT movie_id FROM old_rows)
ORDER BY movie_id FOR NO KEY UPDATE;
UPDATE movies_tally t SET upvotes = t.upvotes + v.up, downvotes = t.downvotes + v.down
FROM (
    SELECT movie_id, coalesce(sum(by) FILTER (WHERE rating_type = 'UPVOTE'), 0) AS up,
           coalesce(sum(by) FILTER (WHERE rating_type = 'DOWNVOTE'), 0) AS down
    FROM (
        SELECT movie_id, rating_type, 1 AS by FROM new_rows WHERE deleted IS NULL
        UNION ALL
        SELECT movie_id, rating_type, -1 FROM old_rows WHERE deleted IS NULL
    ) AS both_rows
    GROUP BY movie_id
) AS v
WHERE t.movie_id = v.movie_id AND (v.up <> 0 OR v.down <> 0);
RETURN NULL;

-- name: count_delete
PERFORM FROM movies_tally WHERE movie_id IN (SELECT movie_id FROM old_rows) ORDER BY movie_id FOR NO KEY UPDATE;
UPDATE movies_tally t SET upvotes = t.upvotes - v.up, downvotes = t.downvotes - v.down
FROM (
    SELECT movie_id, count(*) FILTER (WHERE rating_type = 'UPVOTE') AS up,
           count(*) FILTER (WHERE rating_type = 'DOWNVOTE') AS down
    FROM old_rows WHERE deleted IS NULL GROUP BY movie_id
) AS v
WHERE t.movie_id = v.movie_id;
RETURN NULL;

-- name: count_truncate
UPDATE movies_tally SET upvotes = 0, downvotes = 0 WHERE upvotes + downvotes > 0;
RETURN NULL;
