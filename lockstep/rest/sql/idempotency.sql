-- Stored responses of requests with an Idempotency-Key. A key is locked before it is looked up: a single statement would
-- read with a snapshot older than the lock, and miss what was committed in between.

-- name: lock
-- Until the end of the transaction; false when another transaction has the lock.
SELECT pg_try_advisory_xact_lock(%s) AS locked;

-- name: find
-- By one digest: for an array of them PostgreSQL would plan to look through all records by their time.
SELECT digest, fingerprint, status, headers, body, created FROM lockstep_rest_idempotencyrecord
WHERE digest = %s AND created > now() - %s;

-- name: store
-- Replaces one that has expired and is not removed yet.
INSERT INTO lockstep_rest_idempotencyrecord (digest, fingerprint, status, headers, body) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (digest) DO UPDATE SET
    fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers, body = excluded.body,
    created = now()
RETURNING status;
