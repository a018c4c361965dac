-- What the frozen routes show, as JSON that goes out as it is.

-- name: posts
-- One page, and how many are on it.
SELECT coalesce(
           json_agg(json_build_object('userId', user_id, 'id', number, 'title', title, 'body', body) ORDER BY number),
           '[]')::text,
       count(*)
FROM (
    SELECT user_id, number, title, body FROM posts_post WHERE deleted IS NULL ORDER BY number LIMIT %s OFFSET %s
) AS page;

-- name: number_of_posts
SELECT count(*) FROM posts_post WHERE deleted IS NULL;

-- name: post
-- With the version that its ETag is made of.
SELECT json_build_object('userId', user_id, 'id', number, 'title', title, 'body', body)::text, version
FROM posts_post
WHERE number = %s AND deleted IS NULL;

-- name: comments
-- One page of a post's comments, and how many are on it; no row when the post is not there.
SELECT page.comments, page.number
FROM posts_post p, LATERAL (
    SELECT coalesce(
               json_agg(json_build_object('postId', p.number, 'id', number, 'name', name, 'email', email, 'body', body)
                        ORDER BY number),
               '[]')::text AS comments,
           count(*) AS number
    FROM (
        SELECT number, name, email, body FROM posts_comment
        WHERE post_id = p.id AND deleted IS NULL
        ORDER BY number LIMIT %s OFFSET %s
    ) AS c
) AS page
WHERE p.number = %s AND p.deleted IS NULL;

-- name: number_of_comments
SELECT count(*) FROM posts_comment c JOIN posts_post p ON p.id = c.post_id WHERE p.number = %s AND c.deleted IS NULL;

-- name: comment
SELECT json_build_object('postId', p.number, 'id', c.number, 'name', c.name, 'email', c.email, 'body', c.body)::text,
       c.version
FROM posts_comment c JOIN posts_post p ON p.id = c.post_id
WHERE c.number = %s AND p.number = %s AND c.deleted IS NULL;
