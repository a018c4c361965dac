-- What the frozen routes show, named as they show it.

-- name: posts
SELECT user_id AS "userId", number AS id, title, body
FROM posts_post WHERE deleted IS NULL ORDER BY number LIMIT %s OFFSET %s;

-- name: number_of_posts
SELECT count(*) FROM posts_post WHERE deleted IS NULL;

-- name: post
-- With the version that its ETag is made of.
SELECT version, user_id AS "userId", number AS id, title, body FROM posts_post WHERE number = %s AND deleted IS NULL;

-- name: comments
-- A post without comments gives one row without a comment; a post that is not there gives none.
SELECT p.number AS "postId", c.number AS id, c.name, c.email, c.body
FROM posts_post p
LEFT JOIN LATERAL (
    SELECT number, name, email, body
    FROM posts_comment WHERE post_id = p.id AND deleted IS NULL ORDER BY number LIMIT %s OFFSET %s
) AS c ON true
WHERE p.number = %s AND p.deleted IS NULL
ORDER BY c.number;

-- name: number_of_comments
SELECT count(*) FROM posts_comment c JOIN posts_post p ON p.id = c.post_id WHERE p.number = %s AND c.deleted IS NULL;

-- name: comment
SELECT c.version, p.number AS "postId", c.number AS id, c.name, c.email, c.body
FROM posts_comment c JOIN posts_post p ON p.id = c.post_id
WHERE c.number = %s AND p.number = %s AND c.deleted IS NULL;
