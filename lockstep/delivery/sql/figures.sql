-- Metrics of PostgreSQL itself.

-- name: oldest_transactions
-- Seconds of the oldest open transaction of another session, in any database of the cluster, and of the oldest prepared
-- one. Times of other roles' sessions are NULL for a role that may not read them.
SELECT coalesce((SELECT extract(epoch FROM max(clock_timestamp() - xact_start)) FROM pg_stat_activity
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()), 0)::float8,
       coalesce((SELECT extract(epoch FROM max(clock_timestamp() - prepared)) FROM pg_prepared_xacts), 0)::float8;

-- name: time
-- The database's time, in seconds.
SELECT extract(epoch FROM clock_timestamp())::float8;

-- name: slots
-- What each replication slot keeps of the write-ahead log.
SELECT slot_name, greatest(0, pg_wal_lsn_diff(
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
           restart_lsn))::float8
FROM pg_replication_slots WHERE restart_lsn IS NOT NULL ORDER BY slot_name;

-- name: log
-- Bytes of the change log, and how many of its weeks ended before the retention began.
SELECT coalesce(sum(pg_total_relation_size(child.oid)), 0)::float8,
       count(*) FILTER (WHERE substring(pg_get_expr(child.relpartbound, child.oid) FROM 'TO \(''(.+)''\)')::timestamptz
                              <= now() - make_interval(days => %(days)s))
FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
WHERE inhparent = 'lockstep_change'::regclass;
