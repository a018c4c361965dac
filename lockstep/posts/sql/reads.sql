-- What the frozen routes show, named as they show it, and written as JSON here: Python need not look at each value.

-- name: posts
-- The array, and how many are in it.
SELECT coalesce('[' || string_agg(row_to_json(shown.*)::text, ',' ORDER BY shown.id) || ']', '[]') AS shown, count(*)
FROM (
    SELECT user_id AS "userId", number AS id, title, body
    FROM posts_post WHERE deleted IS NULL ORDER BY number LIMIT %(limit)s OFFSET %(offset)s
) AS shown;

-- name: number_of_posts
SELECT count(*) FROM posts_post WHERE deleted IS NULL;

-- name: post
-- With the version that its ETag is made of.
SELECT p.version, row_to_json(shown.*)::text AS shown
FROM posts_post p, LATERAL (SELECT p.user_id AS "userId", p.number AS id, p.title, p.body) AS shown
WHERE p.number = %(number)s AND p.deleted IS NULL;

-- name: comments
-- The same of a post's comments; no row when there is no such post.
SELECT coalesce('[' || string_agg(row_to_json(shown.*)::text, ',' ORDER BY shown.id) || ']', '[]') AS shown, count(shown.id)
FROM posts_post p
LEFT JOIN LATERAL (
    SELECT p.number AS "postId", c.number AS id, c.name, c.email, c.body
    FROM posts_comment c WHERE c.post_id = p.id AND c.deleted IS NULL
    ORDER BY c.number LIMIT %(limit)s OFFSET %(offset)s
) AS shown ON true
WHERE p.number = %(post)s AND p.deleted IS NULL
GROUP BY p.id;

-- name: number_of_comments
SELECT count(*)
FROM posts_comment c JOIN posts_post p ON p.id = c.post_id WHERE p.number = %(post)s AND c.deleted IS NULL;

-- name: comment
SELECT c.version, row_to_json(shown.*)::text AS shown
FROM posts_comment c JOIN posts_post p ON p.id = c.post_id,
LATERAL (SELECT p.number AS "postId", c.number AS id, c.name, c.email, c.body) AS shown
WHERE c.number = %(number)s AND p.number = %(post)s AND c.deleted IS NULL;
