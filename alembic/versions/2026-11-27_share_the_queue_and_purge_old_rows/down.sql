DROP FUNCTION purge_chats, purge_sessions, log_unfinished;

CREATE OR REPLACE FUNCTION log_queue() RETURNS TABLE(generation_id uuid, place bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH live AS (
    SELECT g.id, g.chat_id, g.status, g.queued_at,
           row_number() OVER (PARTITION BY g.session_id ORDER BY (g.status = 'streaming') DESC, g.queued_at, g.id) AS turn,
           row_number() OVER (PARTITION BY g.chat_id ORDER BY (g.status = 'streaming') DESC, g.queued_at, g.id) AS turn_in_chat
      FROM generations g WHERE g.status IN ('queued', 'streaming')
  )
  SELECT id, row_number() OVER (ORDER BY turn_in_chat > 1, turn, queued_at, id) FROM live WHERE status = 'queued'
$$;

CREATE OR REPLACE FUNCTION log_finish(finished_id uuid, held_fence integer, at_seq integer, final_status text, failure text, reason text, used jsonb, timed jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  finished generations;
BEGIN
  UPDATE generations g
     SET status = final_status, finish_reason = reason, finished_at = clock_timestamp(), lease_until = NULL, owner = NULL
   WHERE g.id = finished_id AND g.fence = held_fence AND g.status = 'streaming' AND g.last_seq = at_seq
  RETURNING * INTO finished;
  IF finished.id IS NULL THEN
    RETURN false;
  END IF;
  UPDATE messages m
     SET status = final_status, error = failure, usage = used, timings = timed, content = log.content, reasoning = log.reasoning
    FROM (SELECT coalesce(string_agg(c.text, '' ORDER BY c.seq) FILTER (WHERE c.kind = 0), '') AS content,
                 coalesce(string_agg(c.text, '' ORDER BY c.seq) FILTER (WHERE c.kind = 1), '') AS reasoning
            FROM generation_chunks c
           WHERE c.generation_id = finished.id
             AND c.seq > (SELECT coalesce(max(v.seq), 0) FROM generation_chunks v WHERE v.generation_id = finished.id AND v.kind = 2)) log
   WHERE m.id = finished.message_id;
  PERFORM pg_notify('runnel_log', finished.id || ':' || finished.last_seq || ':' || final_status);
  RETURN true;
END
$$;

ALTER TABLE generations DROP COLUMN address;
