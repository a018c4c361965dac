-- The catalogue: its movies and the claim of a refresh.

-- name: claim
-- Claims a refresh: one process at a time, not shortly after a failure, and only if the catalogue is older than `older_than`.
-- Times too far in the future were written before the clock stepped back.
INSERT INTO movies_catalogue AS c (id, lease_until) VALUES (1, clock_timestamp() + %(lease)s)
ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until
WHERE (c.lease_until <= clock_timestamp() OR c.lease_until > clock_timestamp() + %(lease)s)
  AND (c.retry_at <= clock_timestamp() OR c.retry_at > clock_timestamp() + interval '1 min' OR %(now)s)
  AND (c.refreshed IS NULL OR c.refreshed <= clock_timestamp() - %(older_than)s OR c.refreshed > clock_timestamp());

-- name: upsert
-- Inserts new movies and updates changed ones. Columns that a listing of the older schema lacks are kept.
INSERT INTO movies_movie AS m (remote_id, title, description, image_url, rating)
SELECT remote_id, title, description, image_url, rating
FROM jsonb_to_recordset(%(movies)s::jsonb) AS listed
     (remote_id uuid, title text, description text, image_url text, rating double precision)
ORDER BY remote_id
ON CONFLICT (remote_id) DO UPDATE SET
    title = excluded.title,
    description = coalesce(excluded.description, m.description),
    image_url = coalesce(excluded.image_url, m.image_url),
    rating = coalesce(excluded.rating, m.rating),
    missing_since = NULL,
    deleted = NULL
WHERE (m.title, m.description, m.image_url, m.rating, m.missing_since, m.deleted) IS DISTINCT FROM
      (excluded.title, coalesce(excluded.description, m.description), coalesce(excluded.image_url, m.image_url),
       coalesce(excluded.rating, m.rating), NULL, NULL);

-- name: note_missing
-- Marks movies that a complete listing lacks. They stay until staff prune them.
UPDATE movies_movie SET missing_since = now()
WHERE deleted IS NULL AND missing_since IS NULL AND remote_id <> ALL (%(known)s::uuid[]);

-- name: finish
UPDATE movies_catalogue SET
    refreshed = now(), complete = CASE WHEN %(whole)s THEN now() ELSE complete END,
    failures = 0, outcome = %(outcome)s, retry_at = clock_timestamp(), lease_until = clock_timestamp()
WHERE id = 1;

-- name: fail
-- The next refresh may start after 1 s, 2 s, 4 s, … and at most a minute.
UPDATE movies_catalogue SET
    failures = failures + 1, outcome = %(outcome)s, lease_until = clock_timestamp(),
    retry_at = clock_timestamp() + least(interval '1 s' * 2 ^ least(failures, 6), interval '1 minute')
WHERE id = 1;

-- name: prune
UPDATE movies_movie SET deleted = now() WHERE missing_since IS NOT NULL AND deleted IS NULL;

-- name: recount
-- Movies whose tally is not the sum of their ratings.
SELECT t.movie_id::text FROM movies_tally t
LEFT JOIN (
    SELECT movie_id, count(*) FILTER (WHERE rating_type = 'UPVOTE') AS up,
           count(*) FILTER (WHERE rating_type = 'DOWNVOTE') AS down
    FROM movies_rating WHERE deleted IS NULL GROUP BY movie_id
) AS v ON v.movie_id = t.movie_id
WHERE (t.upvotes, t.downvotes) IS DISTINCT FROM (coalesce(v.up, 0), coalesce(v.down, 0));
