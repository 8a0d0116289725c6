ALTER TABLE chats ADD COLUMN deleted_at timestamptz;  -- for a while it can be brought back

-- Reopen: the same answer is written on. Its log may have been pruned: then what the message holds becomes its first chunk again.
-- Only for the session that the transaction was opened for.
CREATE FUNCTION log_reopen(reopened_id uuid, content text, reasoning text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  reopened generations;
  next_seq integer;
BEGIN
  UPDATE generations g
     SET status = 'queued', queued_at = clock_timestamp(), finished_at = NULL, finish_reason = NULL, stop_requested = false,
         attempts = 0, upstream_key = NULL, upstream_offset = 0
   WHERE g.message_id = reopened_id AND g.session_id = current_session_id() AND g.status IN ('complete', 'stopped', 'failed')
  RETURNING * INTO reopened;
  IF reopened.id IS NULL THEN
    RETURN NULL;
  END IF;
  IF NOT EXISTS (SELECT FROM generation_chunks c WHERE c.generation_id = reopened.id) THEN
    next_seq := reopened.last_seq + 1;
    IF reasoning <> '' THEN
      INSERT INTO generation_chunks VALUES (reopened.id, reopened.session_id, next_seq, reopened.fence, 1, reasoning);
      next_seq := next_seq + 1;
    END IF;
    IF content <> '' THEN
      INSERT INTO generation_chunks VALUES (reopened.id, reopened.session_id, next_seq, reopened.fence, 0, content);
      next_seq := next_seq + 1;
    END IF;
    UPDATE generations g SET last_seq = next_seq - 1, claim_seq = next_seq - 1 WHERE g.id = reopened.id;
  END IF;
  PERFORM pg_notify('runnel_work', '');
  RETURN reopened.id;
END
$$;
REVOKE ALL ON FUNCTION log_reopen FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log_reopen TO runnel_runtime;
GRANT CREATE ON SCHEMA public TO runnel_log;
ALTER FUNCTION log_reopen OWNER TO runnel_log;
REVOKE CREATE ON SCHEMA public FROM runnel_log;
