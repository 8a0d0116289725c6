CREATE OR REPLACE FUNCTION log_claim(claimer text, slots integer, lease interval, only_id uuid DEFAULT NULL, most integer DEFAULT 1000)
RETURNS TABLE (id uuid, session_id uuid, chat_id uuid, message_id uuid, fence integer, last_seq integer, previous_key text,
               upstream_key text, upstream_offset bigint, stop_requested boolean, attempts integer, request jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  free integer;
BEGIN
  PERFORM pg_advisory_xact_lock(x'52756E6E6C636C6D'::bigint);
  SELECT slots - count(*) INTO free FROM generations g WHERE g.status = 'streaming';
  RETURN QUERY
  WITH chosen AS (
    SELECT g.id, g.upstream_key AS previous_key FROM generations g
     WHERE (only_id IS NULL OR g.id = only_id)
       AND ((g.status = 'streaming' AND g.lease_until < clock_timestamp())
            OR (g.status = 'queued' AND free > 0 AND g.id IN (
                  SELECT q.generation_id FROM log_queue() q JOIN generations w ON w.id = q.generation_id
                   WHERE q.place <= free
                     AND NOT EXISTS (SELECT FROM generations o WHERE o.chat_id = w.chat_id AND o.id <> w.id
                                        AND (o.status = 'streaming' OR (o.status = 'queued' AND (o.queued_at, o.id) < (w.queued_at, w.id)))))))
     ORDER BY g.status DESC, g.queued_at LIMIT most FOR UPDATE SKIP LOCKED
  ), claimed AS (
    UPDATE generations g
       SET status = 'streaming', fence = g.fence + 1, owner = claimer, lease_until = clock_timestamp() + lease,
           attempts = CASE WHEN g.last_seq > g.claim_seq THEN 1 ELSE g.attempts + 1 END, claim_seq = g.last_seq,
           upstream_key = coalesce(g.upstream_key, format('g-%s-%s', g.id, g.fence + 1)),
           started_at = coalesce(g.started_at, clock_timestamp())
      FROM chosen WHERE g.id = chosen.id
    RETURNING g.*, chosen.previous_key
  ), shown AS (
    UPDATE messages m SET status = 'streaming' FROM claimed c WHERE m.id = c.message_id AND m.status = 'queued'
  )
  SELECT c.id, c.session_id, c.chat_id, c.message_id, c.fence, c.last_seq, c.previous_key,
         c.upstream_key, c.upstream_offset, c.stop_requested, c.attempts, c.request FROM claimed c;
END
$$;
