-- The bodies of the capture triggers: statement-level, one row in the log for each object whose visible state changed.
-- {label} is the model ('posts.post'), {table} its table, {table_name} the same as text, {pk} its key. {old_document} and
-- {new_document} are the captured columns of an old row o and of a new row n as jsonb; {old_seen} and {new_seen} are
-- whether the object exists: the row exists and is not softly deleted. Only the documents name columns, so columns not on
-- the allow-list cannot reach the log.

-- Rows changed by other triggers (dependents of a deleted row, stock moved by the ledger) are captured in the trigger's
-- statement, possibly before those of the statement that fired it: WITH parts fire their triggers when they are done. If
-- both change one object, the log would have the changes in the wrong order, and end with the earlier one: that statement
-- is refused (overtaken).

-- name: insert
-- Every new row that is not softly deleted is a created object.
{include overtaken};
INSERT INTO lockstep_change (model, object_id, kind, after)
SELECT {label}, n.{pk}::text, 'created', {new_document}
FROM new_rows n
WHERE {new_seen};

-- name: update
-- The full join pairs old and new by key, so a changed key is one object deleted and another one created.
-- Nothing is written where no captured column differs. OFFSET 0 keeps the planner from building both documents twice.
{include overtaken};
INSERT INTO lockstep_change (model, object_id, kind, before, after)
SELECT {label}, key, CASE WHEN before IS NULL THEN 'created' WHEN after IS NULL THEN 'deleted' ELSE 'updated' END,
       before, after
FROM (
    SELECT coalesce(n.{pk}, o.{pk})::text AS key,
           CASE WHEN {old_seen} THEN {old_document} END AS before,
           CASE WHEN {new_seen} THEN {new_document} END AS after
    FROM old_rows o FULL JOIN new_rows n ON n.{pk} = o.{pk}
    OFFSET 0
) AS pair
WHERE before IS DISTINCT FROM after;

-- name: delete
-- Rows that were softly deleted before are already logged as deleted.
INSERT INTO lockstep_change (model, object_id, kind, before)
SELECT {label}, o.{pk}::text, 'deleted', {old_document}
FROM old_rows o
WHERE {old_seen};

-- name: truncate
-- Runs before the truncation, while the rows can still be read; its lock blocks all other transactions. A transaction with
-- an old snapshot would not see all the rows that it removes.
IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'TRUNCATE of % is refused at this isolation level: use READ COMMITTED, or DELETE.', {table_name};
END IF;
INSERT INTO lockstep_change (model, object_id, kind, before)
SELECT {label}, o.{pk}::text, 'deleted', {old_document}
FROM {table} o
WHERE {old_seen};

-- name: overtaken
-- Within another trigger: leaves a mark, the setting {mark}, for the statement that fired it. In a statement with such a
-- mark: checks whether a row has changed since. Statements of one message have the same time, so that some check
-- needlessly. The check is a condition of its own: as part of the other one it would be planned for every statement (a
-- sixth of an INSERT's time).
IF pg_trigger_depth() > 1 THEN
    PERFORM set_config({mark}, statement_timestamp()::text, true);
ELSIF current_setting({mark}, true) = statement_timestamp()::text THEN
    IF EXISTS (
        SELECT FROM new_rows n LEFT JOIN {table} t ON t.{pk} = n.{pk}
        WHERE CASE WHEN {new_seen} THEN {new_document} END IS DISTINCT FROM CASE WHEN {seen_now} THEN {document_now} END)
    THEN
        RAISE EXCEPTION 'This statement changes rows of % twice, once by a trigger: write it as two statements.', {label}
            USING ERRCODE = 'triggered_data_change_violation';
    END IF;
END IF;
