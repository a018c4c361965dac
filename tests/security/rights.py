"""What a session tries in order to write past the log and the ledger: one table of attempts.

{names} in a statement are filled in by test_rights.py: {scratch} is a schema of the session's own, {post} and {product}
are ids of rows, {partition} is this week's partition of the log, {capture} the function of a capture trigger, {owner}
the owner of the tables.
"""

from dataclasses import dataclass

LOG_ROW = "(model, object_id, kind) VALUES ('posts.post', 'forged', 'created')"
UPDATE_POST = "UPDATE public.posts_post SET title = 'edited' WHERE id = '{post}'"
SET_STOCK = "UPDATE public.shop_product SET stock = 1000 WHERE id = '{product}'"
# As the log, but a table of the session's own.
FALSE_LOG = "(LIKE public.lockstep_change INCLUDING DEFAULTS)"
FALSE_LEDGER = "(LIKE public.shop_movement INCLUDING DEFAULTS)"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Statements of one session, each committed by itself."""

    name: str
    statements: tuple[str, ...]
    data: str = ""  # for the COPY among them


def attempt(name: str, *statements: str, data: str = "") -> Attempt:
    return Attempt(name, statements, data)


# Each ends with an error, and no row of the log, of posts or of the shop is another one afterwards.
REFUSED = [
    # The log, by every statement that writes.
    attempt("insert into the log", f"INSERT INTO lockstep_change {LOG_ROW}"),
    attempt("insert into a partition", f"INSERT INTO {{partition}} {LOG_ROW}"),
    attempt("insert into the default partition", f"INSERT INTO lockstep_change_rest {LOG_ROW}"),
    attempt(
        "copy into the log", "COPY lockstep_change (model, object_id, kind) FROM STDIN", data="posts.post\tx\tcreated\n"
    ),
    attempt(
        "copy into a partition", "COPY {partition} (model, object_id, kind) FROM STDIN", data="posts.post\tx\tcreated\n"
    ),
    attempt("update the log", "UPDATE lockstep_change SET actor = 'another user'"),
    attempt("update no row of the log", "UPDATE lockstep_change SET actor = 'x' WHERE false"),
    attempt("update only the log", "UPDATE ONLY lockstep_change SET actor = 'x'"),
    attempt("update a partition", "UPDATE {partition} SET actor = 'another user'"),
    attempt("update the default partition", "UPDATE lockstep_change_rest SET actor = 'another user'"),
    attempt("move a row to another partition", "UPDATE lockstep_change SET at = at - interval '99 weeks'"),
    attempt("delete from the log", "DELETE FROM lockstep_change"),
    attempt("delete from a partition", "DELETE FROM {partition}"),
    attempt("delete from the default partition", "DELETE FROM lockstep_change_rest"),
    attempt(
        "delete by another table", "DELETE FROM lockstep_change c USING posts_post p WHERE p.id::text = c.object_id"
    ),
    attempt("truncate the log", "TRUNCATE lockstep_change"),
    attempt("truncate a partition", "TRUNCATE {partition}"),
    attempt("truncate the default partition", "TRUNCATE lockstep_change_rest"),
    attempt("truncate posts with the log", "TRUNCATE posts_post, lockstep_change CASCADE"),
    attempt("truncate and restart the numbers", "TRUNCATE lockstep_change RESTART IDENTITY"),
    attempt(
        "merge into the log",
        "MERGE INTO lockstep_change c USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
    ),
    attempt(
        "merge into a partition",
        "MERGE INTO {partition} c USING (SELECT 1) AS one ON true WHEN MATCHED THEN UPDATE SET actor = 'x'",
    ),
    attempt(
        "insert or update",
        "INSERT INTO lockstep_change (seq, at, model, object_id, kind) SELECT seq, at, model, object_id, kind"
        " FROM lockstep_change LIMIT 1 ON CONFLICT (seq, at) DO UPDATE SET actor = 'x'",
    ),
    attempt(
        "delete within a query", "WITH gone AS (DELETE FROM lockstep_change RETURNING *) SELECT count(*) FROM gone"
    ),
    attempt("delete through a view", "CREATE TEMP VIEW v AS SELECT * FROM lockstep_change", "DELETE FROM v"),
    attempt("insert through a view", "CREATE TEMP VIEW v AS SELECT * FROM {partition}", f"INSERT INTO v {LOG_ROW}"),
    attempt(
        "delete by a rule of a view",
        "CREATE TEMP VIEW v AS SELECT 1 AS one",
        "CREATE RULE r AS ON DELETE TO v DO INSTEAD DELETE FROM lockstep_change",
        "DELETE FROM v",
    ),
    attempt(
        "delete at a cursor",
        "DO $$ DECLARE c CURSOR FOR SELECT * FROM {partition}; BEGIN OPEN c; MOVE c;"
        " DELETE FROM {partition} WHERE CURRENT OF c; END $$",
    ),
    attempt("lock rows", "SELECT * FROM lockstep_change FOR UPDATE"),
    attempt("lock the log", "DO $$ BEGIN LOCK TABLE lockstep_change IN SHARE MODE; END $$"),
    attempt("prepared statement", "PREPARE p AS DELETE FROM lockstep_change", "EXECUTE p"),
    attempt("anonymous block", "DO $$ BEGIN EXECUTE 'DELETE FROM lockstep_change'; END $$"),
    attempt(
        "function with the rights of its owner",
        "CREATE FUNCTION {scratch}.f() RETURNS void LANGUAGE sql SECURITY DEFINER"
        " AS 'DELETE FROM public.lockstep_change'",
        "SELECT {scratch}.f()",
    ),
    attempt(
        "grant oneself", "GRANT INSERT ON lockstep_change TO CURRENT_USER", f"INSERT INTO lockstep_change {LOG_ROW}"
    ),
    attempt("own the log", "ALTER TABLE lockstep_change OWNER TO CURRENT_USER"),
    # Its numbers.
    attempt("draw a number of the log", "SELECT nextval('lockstep_change_seq')"),
    attempt("set the numbers of the log", "SELECT setval('lockstep_change_seq', 1)"),
    attempt("restart the numbers of the log", "ALTER SEQUENCE lockstep_change_seq RESTART"),
    # Its partitions.
    attempt("drop a partition", "DROP TABLE {partition}"),
    attempt("detach a partition", "ALTER TABLE lockstep_change DETACH PARTITION {partition}"),
    attempt(
        "attach a partition",
        f"CREATE TABLE {{scratch}}.mine {FALSE_LOG}",
        "ALTER TABLE lockstep_change ATTACH PARTITION {scratch}.mine FOR VALUES FROM ('1999-01-01') TO ('2000-01-01')",
    ),
    attempt("drop this week", "SELECT lockstep_drop_week('{partition}')"),
    attempt("drop the default partition as a week", "SELECT lockstep_drop_week('lockstep_change_rest')"),
    attempt("drop another table as a week", "SELECT lockstep_drop_week('posts_post')"),
    attempt("drop nothing as a week", "SELECT lockstep_drop_week(NULL)"),
    attempt(
        "drop this week with another retention",
        "CREATE FUNCTION {scratch}.lockstep_retention_days() RETURNS int LANGUAGE sql AS 'SELECT -9999'",
        "CREATE FUNCTION pg_temp.lockstep_retention_days() RETURNS int LANGUAGE sql AS 'SELECT -9999'",
        "CREATE FUNCTION {scratch}.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT 'infinity'::timestamptz$$",
        "SET search_path = pg_temp, {scratch}, public, pg_catalog",
        "SELECT lockstep_drop_week('{partition}')",
    ),
    attempt("keep for another time", "CREATE OR REPLACE FUNCTION lockstep_retention_days() RETURNS int RETURN 0"),
    attempt("send in the name of a captured model", "SELECT lockstep_send('posts.post', '1', '{{}}', NULL)"),
    attempt("make partitions without end", "SELECT lockstep_make_partitions(100000)"),
    # Triggers and functions.
    attempt("disable triggers", "ALTER TABLE posts_post DISABLE TRIGGER ALL"),
    attempt("disable triggers of the log", "ALTER TABLE lockstep_change DISABLE TRIGGER USER"),
    attempt("enable triggers for a replica alone", "ALTER TABLE posts_post ENABLE REPLICA TRIGGER {capture}"),
    attempt("drop a trigger", "DROP TRIGGER {capture} ON posts_post"),
    attempt("rename a trigger", "ALTER TRIGGER {capture} ON posts_post RENAME TO other"),
    attempt("drop a function", "DROP FUNCTION {capture}() CASCADE"),
    attempt("run a function as oneself", "ALTER FUNCTION {capture}() SECURITY INVOKER"),
    attempt(
        "replace a function",
        "CREATE OR REPLACE FUNCTION public.{capture}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    ),
    attempt(
        "replace pgtrigger's switch",
        "CREATE OR REPLACE FUNCTION public._pgtrigger_should_ignore(trigger_name name) RETURNS boolean"
        " LANGUAGE sql AS 'SELECT true'",
    ),
    attempt(
        "put a trigger before ours",
        "CREATE FUNCTION {scratch}.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER a BEFORE UPDATE ON posts_post FOR EACH ROW EXECUTE FUNCTION {scratch}.f()",
    ),
    attempt(
        "feed the capture function with rows of one's own",
        "CREATE TEMP TABLE forged (LIKE public.posts_post)",
        "CREATE TRIGGER t AFTER INSERT ON forged REFERENCING NEW TABLE AS new_rows"
        " FOR EACH STATEMENT EXECUTE FUNCTION public.{capture}()",
        "INSERT INTO forged SELECT * FROM public.posts_post",
    ),
    attempt(
        "feed the ledger's function with rows of one's own",
        "CREATE TEMP TABLE forged (LIKE public.shop_product)",
        "CREATE TRIGGER t AFTER INSERT ON forged REFERENCING NEW TABLE AS new_rows"
        " FOR EACH STATEMENT EXECUTE FUNCTION public.{open_ledger}()",
        "INSERT INTO forged SELECT * FROM public.shop_product",
    ),
    attempt("call a trigger's function", "SELECT public.{capture}()"),
    attempt("rule instead of a write", "CREATE RULE r AS ON UPDATE TO posts_post DO INSTEAD NOTHING"),
    attempt("rule on the log", "CREATE RULE r AS ON INSERT TO lockstep_change DO INSTEAD NOTHING"),
    attempt("row-level security", "ALTER TABLE lockstep_change ENABLE ROW LEVEL SECURITY"),
    attempt("policy", "CREATE POLICY p ON posts_post USING (false)"),
    attempt("inherit from a table of ours", "CREATE TEMP TABLE mine () INHERITS (public.posts_post)"),
    attempt("add a column", "ALTER TABLE posts_post ADD COLUMN secret text"),
    attempt("rename the log", "ALTER TABLE lockstep_change RENAME TO other"),
    attempt("another default in the log", "ALTER TABLE lockstep_change ALTER actor SET DEFAULT 'me'"),
    attempt("event trigger", "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION {capture}()"),
    # The catalogue and the session.
    attempt("write the catalogue", "UPDATE pg_trigger SET tgenabled = 'D' WHERE tgrelid = 'posts_post'::regclass"),
    attempt("allow oneself the catalogue", "SET allow_system_table_mods = on"),
    attempt("as a replica", "SET session_replication_role = replica", UPDATE_POST),
    attempt("as a replica, by a function", "SELECT set_config('session_replication_role', 'replica', false)"),
    attempt(
        "as a replica, within a function",
        "CREATE FUNCTION {scratch}.f() RETURNS void LANGUAGE sql SET session_replication_role = replica AS 'SELECT'",
    ),
    attempt("as the owner", "SET ROLE {owner}"),
    attempt("as the owner's session", "SET SESSION AUTHORIZATION {owner}"),
    attempt("be a member of the owner", "GRANT {owner} TO CURRENT_USER"),
    attempt("as a superuser", "ALTER ROLE CURRENT_USER SUPERUSER"),
    attempt("read a file", "SELECT pg_read_file('/etc/passwd')"),
    attempt("run a program", "COPY (SELECT 1) TO PROGRAM 'id'"),
    # The ledger and the states.
    attempt("update the ledger", "UPDATE shop_movement SET delta = 99"),
    attempt("delete from the ledger", "DELETE FROM shop_movement"),
    attempt("truncate the ledger", "TRUNCATE shop_movement"),
    attempt("merge into the ledger", "MERGE INTO shop_movement USING (SELECT 1) AS o ON true WHEN MATCHED THEN DELETE"),
    attempt(
        "movement of a product that is not there yet",
        "INSERT INTO shop_movement (product_id, delta, reason) VALUES (gen_random_uuid(), 5, 'ORDER')",
    ),
    attempt(
        "movement of a product that is not there yet, among others",
        "INSERT INTO shop_movement (product_id, delta, reason)"
        " VALUES (gen_random_uuid(), 5, 'ORDER'), ('{product}', 1, 'ORDER')",
    ),
    attempt("stock below zero", "UPDATE shop_product SET stock = -1 WHERE id = '{product}'"),
    attempt(
        "movement below zero", "INSERT INTO shop_movement (product_id, delta, reason) VALUES ('{product}', -11, 'X')"
    ),
    attempt("state that no transition leads to", "UPDATE shop_product SET state = 'SOLD' WHERE id = '{product}'"),
    attempt("product that begins elsewhere", "UPDATE shop_order SET state = 'ACCEPTED' WHERE id = '{order}'"),
    attempt(
        "state by operators of one's own",
        "CREATE FUNCTION {scratch}.no(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false'",
        "CREATE OPERATOR {scratch}.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = {scratch}.no)",
        "SET search_path = {scratch}, pg_catalog, public",
        "UPDATE public.shop_order SET state = 'ACCEPTED' WHERE id = '{order}'",
    ),
    attempt("another constraint", "ALTER TABLE shop_product DROP CONSTRAINT shop_product_stock"),
]

EVIL_OPERATORS = [
    f"CREATE FUNCTION {{scratch}}.says_{says}_{kind}({kind}, {kind}) RETURNS boolean"
    f" LANGUAGE sql IMMUTABLE AS 'SELECT {says}'"
    for kind in ("jsonb", "uuid", "bigint", "text", "timestamptz")
    for says in ("true", "false")
] + [
    f"CREATE OPERATOR {{scratch}}.{name}"
    f" (LEFTARG = {kind}, RIGHTARG = {kind}, FUNCTION = {{scratch}}.says_{says}_{kind})"
    for kind in ("jsonb", "uuid", "bigint", "text", "timestamptz")
    for name, says in (("=", "true"), ("<>", "false"))
]
EVIL_FUNCTIONS = [
    "CREATE FUNCTION {scratch}.jsonb_build_object(text, bigint, text, bigint, text, text, text, text) RETURNS jsonb"
    " LANGUAGE sql AS $$SELECT '{{}}'::jsonb$$",
    "CREATE FUNCTION {scratch}.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$SELECT 'user:forged'$$",
    "CREATE FUNCTION {scratch}.nullif(text, text) RETURNS text LANGUAGE sql AS $$SELECT NULL::text$$",
    "CREATE FUNCTION {scratch}.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT 'epoch'::timestamptz$$",
    "CREATE FUNCTION {scratch}.nothing(bigint, bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'",
    "CREATE OPERATOR {scratch}.- (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = {scratch}.nothing)",
    "CREATE AGGREGATE {scratch}.sum(bigint) (SFUNC = {scratch}.nothing, STYPE = bigint, INITCOND = '0')",
]
EVIL_PATH = "SET search_path = {scratch}, public, pg_catalog"
OWN_TRIGGER = (
    "CREATE TEMP TABLE lever (a int)",
    "CREATE FUNCTION {scratch}.pull() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN {pull}; RETURN NULL; END $f$",
    "CREATE TRIGGER t AFTER INSERT ON lever FOR EACH {level} EXECUTE FUNCTION {scratch}.pull()",
    "INSERT INTO lever VALUES (1)",
)


def lever(name: str, pull: str, level: str = "STATEMENT") -> Attempt:
    """What a trigger of the session's own does when a row is put into a temporary table."""
    filled = (one.replace("{pull}", pull).replace("{level}", level) for one in OWN_TRIGGER)
    return Attempt(name, tuple(filled))


# Each goes through, and the log and the ledger have all of it, and nothing else.
CAPTURED = [
    attempt("plain update", UPDATE_POST),
    attempt("temporary log", f"CREATE TEMP TABLE lockstep_change {FALSE_LOG}", UPDATE_POST),
    attempt(
        "temporary log, after a plain update",
        UPDATE_POST,
        f"CREATE TEMP TABLE lockstep_change {FALSE_LOG}",
        "DISCARD PLANS",
        "UPDATE public.posts_post SET title = 'again' WHERE id = '{post}'",
    ),
    attempt(
        "temporary log and rows",
        f"CREATE TEMP TABLE lockstep_change {FALSE_LOG}",
        "CREATE TEMP TABLE new_rows (LIKE public.posts_post)",
        "CREATE TEMP TABLE old_rows (LIKE public.posts_post)",
        "CREATE TEMP TABLE posts_post (LIKE public.posts_post)",
        "CREATE TEMP SEQUENCE lockstep_change_seq",
        UPDATE_POST,
        "INSERT INTO public.posts_post (title, body) VALUES ('a', 'b')",
        "DELETE FROM public.posts_post WHERE id = '{post}'",
    ),
    attempt(
        "temporary view for the log",
        "CREATE TEMP VIEW lockstep_change AS SELECT * FROM public.lockstep_change",
        UPDATE_POST,
    ),
    attempt(
        "temporary schema first",
        f"CREATE TEMP TABLE lockstep_change {FALSE_LOG}",
        "SET search_path = pg_temp, public, pg_catalog",
        UPDATE_POST,
    ),
    attempt(
        "log of a schema of one's own", f"CREATE TABLE {{scratch}}.lockstep_change {FALSE_LOG}", EVIL_PATH, UPDATE_POST
    ),
    attempt(
        "no search_path",
        "SET search_path = ''",
        UPDATE_POST,
        "INSERT INTO public.posts_post (title, body) VALUES ('a', 'b')",
        SET_STOCK,
        "INSERT INTO public.shop_tag (name) VALUES ('Été')",
        "DELETE FROM public.posts_post WHERE id = '{post}'",
    ),
    attempt(
        "no search_path, all kinds of rows",
        "SELECT set_config('search_path', '', false)",
        "UPDATE public.shop_product SET name = 'another', description = 'é' WHERE id = '{product}'",
        "INSERT INTO public.posts_comment (post_id, name, email, body) VALUES ('{post}', 'n', 'a@b.example', 'b')",
        "UPDATE public.posts_post SET deleted = now() WHERE id = '{post}'",
        "UPDATE public.shop_order SET state = 'CANCELLED' WHERE id = '{order}'",
        "UPDATE public.accounts_user SET first_name = 'x', deleted = now()",
    ),
    attempt("only pg_catalog in the path", "SET search_path = pg_catalog", UPDATE_POST, SET_STOCK),
    attempt(
        "operators of one's own",
        *EVIL_OPERATORS,
        EVIL_PATH,
        "UPDATE posts_post SET title = 'edited' WHERE id OPERATOR(pg_catalog.=) '{post}'",
        "UPDATE shop_product SET stock = 3 WHERE id OPERATOR(pg_catalog.=) '{product}'",
    ),
    attempt(
        "functions of one's own",
        *EVIL_FUNCTIONS,
        EVIL_PATH,
        UPDATE_POST,
        SET_STOCK,
        "INSERT INTO posts_post (title, body) VALUES ('a', 'b')",
        "INSERT INTO shop_movement (product_id, delta, reason) VALUES ('{product}', 5, 'ORDER')",
    ),
    attempt(
        "types of one's own",
        "CREATE DOMAIN {scratch}.text AS pg_catalog.varchar(1)",
        "CREATE DOMAIN {scratch}.jsonb AS pg_catalog.json",
        'CREATE DOMAIN {scratch}."bigint" AS pg_catalog.int2',
        EVIL_PATH,
        UPDATE_POST,
        SET_STOCK,
    ),
    attempt(
        "cast of one's own",
        "CREATE TYPE {scratch}.pair AS (a int)",
        "CREATE FUNCTION {scratch}.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS $$SELECT 'null'::jsonb$$",
        EVIL_PATH,
        UPDATE_POST,
    ),
    attempt(
        "pgtrigger's switch",
        "SET pgtrigger.ignore = '{{capture_insert,{capture}}}'",
        "SELECT set_config('pgtrigger.ignore', '{{{capture}}}', false)",
        UPDATE_POST,
    ),
    attempt(
        "settings of ours",
        "SET lockstep.actor = 'user:forged'",
        "SET lockstep.origin = 'jsonplaceholder'",
        "SET lockstep.retention_days = '0'",
        UPDATE_POST,
    ),
    attempt(
        "every setting that writes values",
        "SET TimeZone = 'Asia/Kolkata'",
        "SET DateStyle = 'SQL, DMY'",
        "SET IntervalStyle = 'sql_standard'",
        "SET extra_float_digits = -15",
        "SET bytea_output = 'escape'",
        "SET lc_numeric = 'C'",
        "SET standard_conforming_strings = off",
        UPDATE_POST,
        SET_STOCK,
    ),
    attempt(
        "settings of the planner",
        "SET plan_cache_mode = force_generic_plan",
        "SET enable_hashjoin = off",
        "SET enable_mergejoin = off",
        "SET jit = on",
        "SET work_mem = '64kB'",
        UPDATE_POST,
        SET_STOCK,
    ),
    attempt(
        "settings of row-level security and checks",
        "SET row_security = off",
        "SET check_function_bodies = off",
        "SET constraint_exclusion = off",
        "SET transform_null_equals = on",
        UPDATE_POST,
        SET_STOCK,
    ),
    attempt(
        "settings of plpgsql",
        "SET plpgsql.variable_conflict = 'use_variable'",
        "SET plpgsql.check_asserts = off",
        UPDATE_POST,
        SET_STOCK,
    ),
    attempt("other isolation", "SET default_transaction_isolation = 'serializable'", UPDATE_POST, SET_STOCK),
    attempt(
        "prepared before the path was set",
        "PREPARE p AS UPDATE posts_post SET title = title || '.'",
        "EXECUTE p",
        f"CREATE TEMP TABLE lockstep_change {FALSE_LOG}",
        "EXECUTE p",
    ),
    attempt("updatable view", "CREATE TEMP VIEW v AS SELECT * FROM public.posts_post", "UPDATE v SET title = 'edited'"),
    attempt(
        "view with a rule",
        "CREATE TEMP VIEW v AS SELECT id, title FROM public.posts_post",
        "CREATE RULE r AS ON UPDATE TO v DO INSTEAD UPDATE public.posts_post SET title = NEW.title WHERE id = OLD.id",
        "UPDATE v SET title = 'edited'",
    ),
    attempt(
        "view with a trigger instead",
        "CREATE TEMP VIEW v AS SELECT id, title FROM public.posts_post",
        "CREATE FUNCTION {scratch}.f() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN"
        " UPDATE public.posts_post SET title = NEW.title WHERE id = OLD.id; RETURN NEW; END $f$",
        "CREATE TRIGGER t INSTEAD OF UPDATE ON v FOR EACH ROW EXECUTE FUNCTION {scratch}.f()",
        "UPDATE v SET title = 'edited'",
    ),
    attempt(
        "at a cursor",
        "DO $$ DECLARE c CURSOR FOR SELECT * FROM public.posts_post FOR UPDATE; BEGIN OPEN c; MOVE c;"
        " UPDATE public.posts_post SET title = title || '.' WHERE CURRENT OF c; END $$",
    ),
    attempt("copy", "COPY posts_post (title, body) FROM STDIN", data="copied\tbody\n"),
    attempt(
        "copy products", "COPY shop_product (owner_id, name, price, stock) FROM STDIN", data="{user}\tcopied\t1\t7\n"
    ),
    attempt(
        "merge",
        "MERGE INTO posts_post p USING (VALUES ('{post}'::uuid), (gen_random_uuid())) AS v (id) ON p.id = v.id"
        " WHEN MATCHED THEN UPDATE SET title = 'merged'"
        " WHEN NOT MATCHED THEN INSERT (id, title, body) VALUES (v.id, 'n', '')",
    ),
    attempt(
        "merge that deletes",
        "MERGE INTO posts_post p USING (SELECT 1) AS o ON p.id = '{post}' WHEN MATCHED THEN DELETE",
    ),
    attempt(
        "merge products",
        "MERGE INTO shop_product p USING (SELECT 1) AS o ON p.id = '{product}'"
        " WHEN MATCHED THEN UPDATE SET stock = p.stock + 5",
    ),
    attempt(
        "insert or update",
        "INSERT INTO posts_post (id, number, title, body)"
        " SELECT id, number, title, body FROM posts_post WHERE id = '{post}'"
        " ON CONFLICT (id) DO UPDATE SET title = 'edited'",
    ),
    attempt(
        "insert or update products",
        "INSERT INTO shop_product (id, number, owner_id, name, price, stock)"
        " SELECT id, number, owner_id, name, price, 0 FROM shop_product WHERE id = '{product}'"
        " ON CONFLICT (id) DO UPDATE SET stock = 77",
    ),
    attempt(
        "writes within a query",
        "WITH a AS (UPDATE posts_post SET title = 'edited' RETURNING id),"
        " b AS (INSERT INTO posts_post (title, body) VALUES ('new', '') RETURNING id) SELECT * FROM a, b",
    ),
    attempt(
        "update by another table",
        "CREATE TEMP TABLE t AS SELECT id FROM public.posts_post",
        "UPDATE public.posts_post p SET title = 'edited' FROM t WHERE t.id = p.id",
    ),
    attempt(
        "deletion that cascades",
        "INSERT INTO posts_comment (post_id, name, email, body) VALUES ('{post}', 'n', 'e', 'b')",
        "DELETE FROM posts_post WHERE id = '{post}'",
    ),
    attempt("another key", "UPDATE posts_post SET id = gen_random_uuid() WHERE id = '{post}'"),
    attempt("anonymous block", "DO $$ BEGIN UPDATE public.posts_post SET title = 'edited'; END $$"),
    attempt(
        "rolled back in part",
        "DO $$ BEGIN UPDATE public.posts_post SET title = 'kept'; BEGIN"
        " UPDATE public.posts_post SET title = 'undone'; RAISE division_by_zero;"
        " EXCEPTION WHEN division_by_zero THEN END; END $$",
    ),
    attempt(
        "function with the rights of its owner and a path of its own",
        f"CREATE TABLE {{scratch}}.lockstep_change {FALSE_LOG}",
        "CREATE FUNCTION {scratch}.f() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = {scratch}, public"
        f" AS $f${UPDATE_POST}$f$",
        "SELECT {scratch}.f()",
    ),
    lever("posts by a trigger of one's own", "UPDATE public.posts_post SET title = 'edited'"),
    # The stock.
    attempt("stock", SET_STOCK),
    attempt(
        "temporary ledger",
        f"CREATE TEMP TABLE shop_movement {FALSE_LEDGER}",
        "CREATE TEMP TABLE shop_product (LIKE public.shop_product)",
        SET_STOCK,
        "INSERT INTO public.shop_movement (product_id, delta, reason) VALUES ('{product}', 5, 'ORDER')",
    ),
    attempt(
        "ledger of a schema of one's own",
        f"CREATE TABLE {{scratch}}.shop_movement {FALSE_LEDGER}",
        EVIL_PATH,
        SET_STOCK,
    ),
    attempt(
        "any reason",
        "INSERT INTO shop_movement (product_id, delta, reason) VALUES ('{product}', 5, 'OPENING'),"
        " ('{product}', 6, 'CORRECTION'), ('{product}', -2, 'no reason')",
    ),
    attempt("another key of a product", "UPDATE shop_product SET id = gen_random_uuid() WHERE id = '{product}'"),
    attempt(
        "another key and stock", "UPDATE shop_product SET id = gen_random_uuid(), stock = 3 WHERE id = '{product}'"
    ),
    attempt(
        "removed and made again",
        "CREATE TEMP TABLE t AS SELECT * FROM public.shop_product WHERE id = '{product}'",
        "DELETE FROM shop_product WHERE id = '{product}'",
        "INSERT INTO shop_product (id, owner_id, name, price, stock) SELECT id, owner_id, name, price, 4 FROM t",
    ),
    attempt(
        "removed and made again with nothing",
        "CREATE TEMP TABLE t AS SELECT * FROM public.shop_product WHERE id = '{product}'",
        "DELETE FROM shop_product WHERE id = '{product}'",
        "INSERT INTO shop_product (id, owner_id, name, price) SELECT id, owner_id, name, price FROM t",
    ),
]
# The owner's own trigger counts as one of ours; the owner can disable ours anyway.
CAPTURED_FROM_OTHERS = [
    lever("stock by a trigger of one's own", "UPDATE public.shop_product SET stock = 1000"),
    lever("stock by a row's trigger of one's own", "UPDATE public.shop_product SET stock = 1000", "ROW"),
    lever(
        "movement by a trigger of one's own",
        "INSERT INTO public.shop_movement (product_id, delta, reason) VALUES ('{product}', 5, 'ORDER')",
    ),
    lever(
        "correction by a trigger of one's own",
        "INSERT INTO public.shop_movement (product_id, delta, reason) VALUES ('{product}', 5, 'CORRECTION')",
    ),
    lever(
        "stock by a trigger and a false ledger",
        "CREATE TEMP TABLE shop_movement (a int); UPDATE public.shop_product SET stock = 1000",
    ),
]
