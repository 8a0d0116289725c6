DROP FUNCTION log_queue, log_claim, log_append, log_finish, log_rename, log_release, log_expire, log_read, log_state, log_next, log_prune;
DROP TABLE generation_chunks, generations, messages, chats, devices, sessions CASCADE;
DROP FUNCTION current_session_id;
REVOKE ALL ON alembic_version FROM runnel_runtime;
