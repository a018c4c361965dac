-- Queries of the frozen routes, with JSON of their format, so that Python need not convert each value.

-- name: array
-- {rows} as an array, its length, and whether there are more: it ends at the limit of rows or of bytes. {rows} has one row
-- more, each with its position, and without rows beyond the limit of bytes.
SELECT coalesce('[' || string_agg(shown, ',' ORDER BY row) FILTER (WHERE fits) || ']', '[]') AS shown,
       count(*) FILTER (WHERE fits) AS number, count(*) > count(*) FILTER (WHERE fits) AS more
FROM (
    SELECT shown, row, row <= %(limit)s
           AND (row = 1 OR sum(octet_length(shown) + 1) OVER (ROWS UNBOUNDED PRECEDING) <= %(bytes)s) AS fits
    FROM ({rows}) AS rows
) AS rows

-- name: posts
SELECT row_to_json(shown.*)::text AS shown, p.row
FROM (
    SELECT user_id, number, title, body, row_number() OVER so_far AS row,
           sum(octet_length(title) + octet_length(body)) OVER so_far - octet_length(title) - octet_length(body) AS before
    FROM (
        SELECT user_id, number, title, body
        FROM posts_post WHERE deleted IS NULL ORDER BY number LIMIT %(limit)s + 1 OFFSET %(offset)s
    ) AS p
    WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
) AS p, LATERAL (SELECT p.user_id AS "userId", p.number AS id, p.title, p.body) AS shown
WHERE p.row <= 2 OR p.before <= %(bytes)s OFFSET 0;

-- name: number_of_posts
SELECT count(*) FROM posts_post WHERE deleted IS NULL;

-- name: post
-- With the version for its ETag.
SELECT p.version, row_to_json(shown.*)::text AS shown
FROM posts_post p, LATERAL (SELECT p.user_id AS "userId", p.number AS id, p.title, p.body) AS shown
WHERE p.number = %(number)s AND p.deleted IS NULL;

-- name: comments
-- A post's comments, like `posts`.
SELECT row_to_json(shown.*)::text AS shown, c.row
FROM (
    SELECT number, name, email, body, row_number() OVER so_far AS row,
           sum(octet_length(name) + octet_length(body)) OVER so_far - octet_length(name) - octet_length(body) AS before
    FROM (
        SELECT number, name, email, body
        FROM posts_comment WHERE post_id = p.id AND deleted IS NULL
        ORDER BY number LIMIT %(limit)s + 1 OFFSET %(offset)s
    ) AS c
    WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
) AS c, LATERAL (SELECT p.number AS "postId", c.number AS id, c.name, c.email, c.body) AS shown
WHERE c.row <= 2 OR c.before <= %(bytes)s OFFSET 0;

-- name: comments_of
-- No row for an unknown post.
SELECT page.* FROM posts_post p, LATERAL ({include array}) AS page WHERE p.number = %(post)s AND p.deleted IS NULL;

-- name: number_of_comments
SELECT count(*)
FROM posts_comment c JOIN posts_post p ON p.id = c.post_id WHERE p.number = %(post)s AND c.deleted IS NULL;

-- name: comment
SELECT c.version, row_to_json(shown.*)::text AS shown
FROM posts_comment c JOIN posts_post p ON p.id = c.post_id,
LATERAL (SELECT p.number AS "postId", c.number AS id, c.name, c.email, c.body) AS shown
WHERE c.number = %(number)s AND p.number = %(post)s AND c.deleted IS NULL;
