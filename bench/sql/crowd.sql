-- A system in the middle of much trouble (crowd.py), in the order of this file. Amounts are parameters.

-- name: users
INSERT INTO accounts_user (password, is_superuser, is_staff, is_active, date_joined, username, first_name, last_name, email)
SELECT '!', false, false, true, now(), 'person-' || n, 'First', 'Last', 'person-' || n || '@example.com'
FROM generate_series(1, %(owners)s) AS n;

-- name: posts
INSERT INTO posts_post (user_id, title, body)
SELECT n %% 1000, 'post ' || n, repeat('words such as people write ', 1 + n %% 8) FROM generate_series(1, %(objects)s) AS n;

-- name: comments
INSERT INTO posts_comment (post_id, name, email, body)
SELECT post.id, 'comment on ' || post.number, 'a@example.com', 'as people write' FROM posts_post post
ORDER BY post.id LIMIT %(objects)s / 2;

-- name: products
-- The first owner has a tenth of them.
INSERT INTO shop_product (owner_id, name, description, price, stock)
SELECT owner.id, 'thing ' || n, 'a thing', n %% 900 + 1, 100
FROM generate_series(1, %(objects)s / 10) AS n
JOIN accounts_user owner ON owner.username = 'person-' || CASE WHEN n %% 10 = 0 THEN 1 ELSE 1 + n %% %(owners)s END;

-- name: orders
INSERT INTO shop_order (buyer_id, lines, total)
SELECT buyer.id, jsonb_build_array(jsonb_build_object('product', n, 'name', 'thing', 'price', '2.50', 'quantity', 2)), 5
FROM generate_series(1, %(objects)s) AS n JOIN accounts_user buyer ON buyer.username = 'person-' || 1 + n %% %(owners)s;

-- name: movements
INSERT INTO shop_movement (product_id, order_id, delta, reason)
SELECT product.id, placed.id, -1, 'order'
FROM (SELECT id, row_number() OVER () AS n FROM shop_order) AS placed
JOIN (SELECT id, row_number() OVER () AS n FROM shop_product) AS product ON product.n = 1 + placed.n %% (%(objects)s / 10)
WHERE placed.n %% 20 = 0;

-- name: transitions
UPDATE shop_order SET state = 'CANCELLED' WHERE number %% 10 = 0;

-- name: tags
INSERT INTO shop_tag (name, description) SELECT 'tag ' || n, 'a tag' FROM generate_series(1, %(objects)s / 100) AS n;

-- name: product_tags
INSERT INTO shop_producttag (product_id, tag_id)
SELECT product.id, tag.id FROM (SELECT id, row_number() OVER () AS n FROM shop_product) AS product
JOIN (SELECT id, row_number() OVER () AS n FROM shop_tag) AS tag ON tag.n = 1 + product.n %% (%(objects)s / 100);

-- name: defects
INSERT INTO defects_defect (comment, user_id)
SELECT 'defect ' || n, reporter.number
FROM generate_series(1, %(objects)s / 10) AS n
JOIN accounts_user reporter ON reporter.username = 'person-' || 1 + n %% %(owners)s;

-- name: movies
INSERT INTO movies_movie (remote_id, title, description)
SELECT gen_random_uuid(), 'movie ' || n, 'a movie' FROM generate_series(1, %(objects)s / 10) AS n;

-- name: ratings
INSERT INTO movies_rating (movie_id, user_id, rating_type)
SELECT movie.id, person.id, CASE WHEN movie.n %% 3 = 0 THEN 'DOWNVOTE' ELSE 'UPVOTE' END
FROM (SELECT id, row_number() OVER () AS n FROM movies_movie) AS movie
JOIN generate_series(1, 5) AS vote ON true
JOIN accounts_user person ON person.username = 'person-' || 1 + (movie.n + vote) %% %(owners)s;

-- name: catalogue
INSERT INTO movies_catalogue (id, refreshed, complete) VALUES (1, now(), now()) ON CONFLICT (id) DO NOTHING;

-- name: endpoints
-- The first owner has a third of them.
INSERT INTO lockstep_webhooks_endpoint (owner_id, url, events, secret, failing_since, disabled, reason)
SELECT owner.id, 'https://host-' || n %% 500 || '.example.com/hook/' || n,
       CASE n %% 3 WHEN 0 THEN '{posts.post.*}' WHEN 1 THEN '{shop.order.*}' ELSE '{posts.post.created,posts.comment.*}' END::text[],
       '', CASE WHEN n %% 15 = 0 THEN now() - interval '1 day' END, CASE WHEN n %% 20 = 0 THEN now() END,
       CASE WHEN n %% 20 = 0 THEN 'It took nothing for days.' ELSE '' END
FROM generate_series(1, %(endpoints)s) AS n
JOIN accounts_user owner ON owner.username = 'person-' || CASE WHEN n %% 10 < 3 THEN 1 ELSE 1 + n %% %(owners)s END;

-- name: members
INSERT INTO lockstep_subscription (name, kind, follows, state, reason, silent_since, silent_cause, place_id)
SELECT 'webhook:' || id, 'event', events, CASE WHEN disabled IS NULL THEN 'active' ELSE 'disabled' END, reason,
       failing_since, CASE WHEN failing_since IS NULL THEN '' ELSE 'Unreachable: connection refused' END,
       CASE WHEN disabled IS NULL THEN (SELECT place_id FROM lockstep_subscription WHERE name = 'payments')
            ELSE lockstep_new_place() END
FROM lockstep_webhooks_endpoint;

-- name: others
-- Subscriptions of code that is gone; some are stopped for long.
INSERT INTO lockstep_subscription (name, kind, follows, state, reason)
SELECT 'other-' || n, CASE WHEN n %% 2 = 0 THEN 'state' ELSE 'event' END, '{posts.*}',
       CASE n %% 4 WHEN 0 THEN 'paused' WHEN 1 THEN 'full' ELSE 'active' END, CASE WHEN n %% 4 < 2 THEN 'stopped' ELSE '' END
FROM generate_series(1, 40) AS n;

-- name: log
-- Updates of posts, which with what is in the log make up its size. Each two-hundredth is of the first post.
INSERT INTO lockstep_change (at, model, object_id, kind, before, after, actor, origin, trace)
SELECT now() - interval '1 second' * (%(chunks)s - %(chunk)s) * 600 / %(chunks)s, 'posts.post', post.id::text, 'updated',
       jsonb_build_object('title', 'before ' || n, 'body', repeat('x', 200)),
       jsonb_build_object('title', 'after ' || n, 'body', repeat('x', 200)),
       'user:' || (SELECT id FROM accounts_user WHERE username = 'person-' || 1 + %(chunk)s %% %(owners)s),
       CASE WHEN n %% 10 = 0 THEN 'jsonplaceholder' END, 'request-' || n / 3
FROM generate_series(1, (%(changes)s - %(logged)s) / %(chunks)s) AS n
JOIN (SELECT id, row_number() OVER (ORDER BY id) AS row FROM posts_post) AS post
  ON post.row = CASE WHEN n %% 200 = 0 THEN 1 ELSE 1 + (n * 37::bigint + %(chunk)s * 1009) %% %(objects)s END;

-- name: new_place
-- All subscriptions that are active have got here.
WITH place AS (SELECT lockstep_new_place() AS id)
UPDATE lockstep_subscription SET place_id = (SELECT id FROM place) WHERE state = 'active' AND name <> 'other-2';

-- name: lanes
-- Each post waits for the mirror, each fifth after a failure and with an attempt to come, the others since they were
-- fanned out. Each tenth waits for other subscriptions, too.
INSERT INTO lockstep_lane (subscription_id, model, object_id, next_at, attempts, failure, cause)
SELECT s.name, 'posts.post', post.id::text,
       CASE WHEN post.n %% 5 = 0 THEN now() + random() * interval '1 hour' ELSE now() - interval '1 day' + post.n * interval '1 ms' END,
       post.n %% 5,
       CASE WHEN post.n %% 5 = 0 THEN 'failed' END, CASE WHEN post.n %% 5 = 0 THEN 'ServerError: 503 at /posts/' || post.n END
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM posts_post) AS post
JOIN lockstep_subscription s ON s.name = 'jsonplaceholder-mirror' OR s.name LIKE 'other-1_' AND post.n %% 20 IN (0, 7);

-- name: lanes_of_members
-- A fifth of the family has five objects waiting.
INSERT INTO lockstep_lane (subscription_id, model, object_id, next_at, attempts, failure, cause)
SELECT s.name, 'posts.post', post.id::text, now() + random() * interval '1 hour', 3,
       CASE WHEN s.silent_since IS NULL THEN 'failed' ELSE 'unreachable' END, 'Unreachable: connection refused'
FROM (SELECT * FROM lockstep_subscription WHERE strpos(name, ':') > 0 ORDER BY name LIMIT %(endpoints)s / 5) AS s
CROSS JOIN (SELECT id FROM posts_post ORDER BY id LIMIT 5) AS post;

-- name: deliveries
INSERT INTO lockstep_delivery (lane_id, seq, at)
SELECT lane.id, c.seq, c.at FROM lockstep_lane lane
CROSS JOIN LATERAL (
    SELECT seq, at FROM lockstep_change WHERE object_id = lane.object_id AND model = lane.model ORDER BY seq LIMIT 2
) AS c;

-- name: letters
-- Most are the mirror's; a seventh are settled.
INSERT INTO lockstep_deadletter
    (subscription_id, model, object_id, seq, at, message_id, attempts, cause, died, outcome, settled)
SELECT CASE c.n %% 10 WHEN 0 THEN 'payments' WHEN 1 THEN 'other-' || 1 + c.n / 10 %% 40 WHEN 2 THEN member.name
                     WHEN 3 THEN member.name ELSE 'jsonplaceholder-mirror' END,
       c.model, c.object_id, c.seq, c.at, gen_random_uuid(), 8,
       CASE c.n %% 3 WHEN 0 THEN 'Refused: 422 at http://example.com/' || c.n || ': the title is too long: ' || repeat('y', 100)
                    WHEN 1 THEN 'HTTP 410' ELSE 'ServerError: 503 after ' || c.n || ' s' END,
       now() - c.n * interval '1 second', CASE WHEN c.n %% 7 = 0 THEN 'replayed' END, CASE WHEN c.n %% 7 = 0 THEN now() END
FROM (
    SELECT row_number() OVER () AS n, model, object_id, seq, at FROM (
        SELECT * FROM lockstep_change WHERE model = 'posts.post' ORDER BY seq DESC LIMIT %(letters)s
    ) AS newest
) AS c
JOIN (SELECT row_number() OVER () AS n, name FROM lockstep_subscription WHERE strpos(name, ':') > 0) AS member
  ON member.n = 1 + c.n %% %(endpoints)s;

-- name: attempts
-- A half of them are of one endpoint: the first owner's newest.
INSERT INTO lockstep_attempt
    (subscription_id, message_id, model, object_id, kind, seq, at, number, began, seconds, failure, cause, receipt)
SELECT CASE WHEN n %% 2 = 0 THEN busy.name ELSE member.name END, gen_random_uuid(), 'posts.post', post.id::text, 'updated', n,
       now(), 1 + n %% 3, now() - n * interval '0.1 second', 0.1, CASE WHEN n %% 4 = 0 THEN 'failed' END,
       CASE WHEN n %% 4 = 0 THEN 'HTTP 500' END,
       jsonb_build_object('type', 'posts.post.updated', 'status', 500, 'response', repeat('answer ', 100),
                          'request_headers', jsonb_build_object('webhook-id', n), 'response_headers', '{}'::jsonb)
FROM generate_series(1, %(letters)s) AS n
JOIN (SELECT row_number() OVER () AS number, name FROM lockstep_subscription WHERE strpos(name, ':') > 0) AS member
  ON member.number = 1 + n %% %(endpoints)s
CROSS JOIN (SELECT id FROM posts_post ORDER BY id LIMIT 1) AS post
CROSS JOIN (SELECT 'webhook:' || endpoint.id AS name FROM lockstep_webhooks_endpoint endpoint
            JOIN accounts_user owner ON owner.id = owner_id
            WHERE username = 'person-1' AND disabled IS NULL ORDER BY endpoint.id DESC LIMIT 1) AS busy;

-- name: copies
INSERT INTO lockstep_mirror_remoteobject (object_id, collection, remote_id, acknowledged, acknowledged_at, verified_at, intent)
SELECT id, 'jsonplaceholder/posts', number::text, gen_random_uuid(), now() - interval '1 hour', now(),
       CASE WHEN number %% 50 = 0 THEN '{}'::jsonb END FROM posts_post
UNION ALL
SELECT id, 'jsonplaceholder/comments', number::text, gen_random_uuid(), now() - interval '1 hour', now(), NULL FROM posts_comment;

-- name: writes
INSERT INTO lockstep_mirror_sentwrite (collection, object_id, kind, answered)
SELECT 'jsonplaceholder/posts', id, 'update', number %% 4 <> 0 FROM posts_post;

-- name: checks
INSERT INTO lockstep_mirror_driftcheck (provider, at, counts)
SELECT 'jsonplaceholder', now() - n * interval '1 hour', '{"create": 3, "update": 2, "delete": 0, "not_persisted": 1}'
FROM generate_series(1, 2000) AS n;

-- name: imports
INSERT INTO lockstep_mirror_import (provider, completed, report) SELECT 'jsonplaceholder', now(), '{}' FROM generate_series(1, 500);

-- name: runs
-- Five plans and audits of each kind are kept with their differences; these are more.
INSERT INTO lockstep_console_run (kind, mirror, actor, state, began, ended, outcome, parameters, summary)
SELECT kind, CASE kind WHEN 'audit' THEN '' ELSE 'jsonplaceholder' END, 'user:' || person.id, 'done', now(), now(), 'Done.', '{}',
       CASE kind WHEN 'plan' THEN '{"counts": {"create": 1, "update": 9, "delete": 1, "not_persisted": 0}, "own": 0}' ELSE '{}' END::jsonb
FROM unnest(ARRAY['audit', 'plan']) AS kind, generate_series(1, 200)
CROSS JOIN (SELECT id FROM accounts_user WHERE username = 'person-1') AS person;

-- name: differences
INSERT INTO lockstep_console_difference
    (run_id, number, kind, collection, model, object_id, name, remote_id, fields, is_own, outcome, failed)
SELECT run.id, post.n, 'update', 'posts', 'posts.post', post.id::text, post.number::text, post.number::text,
       '[{"field": "title", "there": "a", "here": "b"}]', false, '', false
FROM (SELECT id, number, row_number() OVER (ORDER BY id) AS n FROM posts_post ORDER BY id LIMIT 10000) AS post
CROSS JOIN (SELECT id FROM lockstep_console_run WHERE kind = 'plan' ORDER BY id DESC LIMIT 1) AS run;

-- name: operations
INSERT INTO lockstep_console_operation (at, actor, kind, subscription, parameters, outcome)
SELECT now() - n * interval '1 minute', 'user:' || person.id, 'replay',
       CASE WHEN n %% 2 = 0 THEN 'jsonplaceholder-mirror' ELSE 'payments' END, '{}', '3 dead letters are replayed.'
FROM generate_series(1, %(letters)s / 10) AS n CROSS JOIN (SELECT id FROM accounts_user WHERE username = 'person-1') AS person;

-- name: samples
INSERT INTO lockstep_console_sample (name, at, position, waiting, failing, dead, lag)
SELECT name, date_trunc('minute', now()) - n * interval '1 minute', CASE WHEN name = '' THEN 1000000 - n END, 10, 2, 3, 4
FROM generate_series(1, 1440) AS n, unnest('{"", jsonplaceholder-mirror, payments, webhook}'::text[]) AS name;

-- name: provider_minutes
INSERT INTO lockstep_providerminute (provider, at, outcome, operations, seconds, slowest)
SELECT provider, date_trunc('minute', now()) - n * interval '1 minute', outcome, 100, 3.0, 0.5
FROM unnest('{jsonplaceholder, payments, november7}'::text[]) AS provider, unnest('{"", ServerError}'::text[]) AS outcome,
     generate_series(1, 1440) AS n;

-- name: beats
INSERT INTO lockstep_workerheartbeat (id, seen, complaint) SELECT gen_random_uuid(), now(), '' FROM generate_series(1, 8);

-- name: admin_log
INSERT INTO django_admin_log (action_time, object_id, object_repr, action_flag, change_message, content_type_id, user_id)
SELECT now(), post.id::text, 'a post', 2, '', kind.id, person.id
FROM posts_post post CROSS JOIN (SELECT id FROM accounts_user WHERE username = 'person-1') AS person
CROSS JOIN (SELECT id FROM django_content_type WHERE (app_label, model) = ('posts', 'post')) AS kind
ORDER BY post.id DESC LIMIT %(letters)s;
