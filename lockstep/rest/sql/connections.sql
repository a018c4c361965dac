-- Sessions of the web server (connections.py).

-- name: bound
SELECT set_config('statement_timeout', %s, false), set_config('plan_cache_mode', %s, false),
       set_config('idle_in_transaction_session_timeout', %s, false);
