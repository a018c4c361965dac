-- The project's user model (users.py, actors.py). {users} is the table, {key} its primary key; {is_active} and {is_staff} are
-- conditions.

-- name: still_active
-- Whether a user may still write, as an expression; NULL for one that is not active.
(SELECT {is_staff} OR NOT %(actor_staff)s FROM {users} u
 WHERE {key} = %(actor_user)s AND {is_active} FOR KEY SHARE OF u)

-- name: active_and_alive
{active} AND {deleted} IS NULL

-- name: of_parent
-- A column of a parent model's table.
(SELECT p.{column} FROM {parent} p WHERE p.{key} = {own_key})
