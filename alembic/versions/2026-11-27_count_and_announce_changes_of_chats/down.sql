DROP TRIGGER announce ON chats;
DROP FUNCTION announce_chat;
ALTER TABLE chats DROP COLUMN revision;

CREATE OR REPLACE FUNCTION log_finish(finished_id uuid, held_fence integer, at_seq integer, final_status text, failure text, reason text, used jsonb, timed jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  finished generations;
BEGIN
  UPDATE generations g
     SET status = final_status, finish_reason = reason, finished_at = clock_timestamp(), lease_until = NULL, owner = NULL, address = NULL
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
