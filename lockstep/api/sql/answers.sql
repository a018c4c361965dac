-- Answers to requests with an Idempotency-Key. A key is locked before it is looked up: in one statement the look would be
-- older than the lock, and miss what was committed in between.

-- name: lock
-- Until the end of the transaction; false when somebody else has it.
SELECT pg_try_advisory_xact_lock(%s) AS locked;

-- name: kept
SELECT fingerprint, status, headers, body FROM api_answer WHERE digest = %s AND created > now() - %s;

-- name: keep
-- In the place of one that has expired and is not removed yet.
INSERT INTO api_answer (digest, fingerprint, status, headers, body) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (digest) DO UPDATE SET
    fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers, body = excluded.body,
    created = now()
RETURNING status;
