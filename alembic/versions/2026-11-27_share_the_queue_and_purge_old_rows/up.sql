-- A keyed hash of the client's address, while the answer is unfinished. NULL: the web process did not send it.
ALTER TABLE generations ADD COLUMN address bytea;
GRANT UPDATE (address) ON generations TO runnel_runtime;

-- Addresses take turns, then the sessions of an address. A running answer is a turn its address and session have had.
-- Answers without an address share one.
CREATE OR REPLACE FUNCTION log_queue() RETURNS TABLE (generation_id uuid, place bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH live AS (
    SELECT g.id, g.address, g.status, g.queued_at,
           row_number() OVER (PARTITION BY g.session_id ORDER BY (g.status = 'streaming') DESC, g.queued_at, g.id) AS turn,
           row_number() OVER (PARTITION BY g.chat_id ORDER BY (g.status = 'streaming') DESC, g.queued_at, g.id) > 1 AS follows
      FROM generations g WHERE g.status IN ('queued', 'streaming')
  ), turns AS (
    SELECT l.*, row_number() OVER (PARTITION BY l.address
                                   ORDER BY (l.status = 'streaming') DESC, l.follows, l.turn, l.queued_at, l.id) AS turn_of_address
      FROM live l
  )
  SELECT id, row_number() OVER (ORDER BY follows, turn_of_address, turn, queued_at, id) FROM turns WHERE status = 'queued'
$$;

-- As before, and forgets the address.
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

-- The unfinished answers of an address, over all sessions. Of two simultaneous callers, one waits for the other's transaction.
CREATE FUNCTION log_unfinished(asker bytea) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(x'61646472'::integer, hashtext(encode(asker, 'hex')));
  RETURN (SELECT count(*) FROM generations g WHERE g.address = asker AND g.status IN ('queued', 'streaming'));
END
$$;
REVOKE ALL ON FUNCTION log_unfinished FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log_unfinished TO runnel_runtime;
GRANT CREATE ON SCHEMA public TO runnel_log;
ALTER FUNCTION log_unfinished OWNER TO runnel_log;
REVOKE CREATE ON SCHEMA public FROM runnel_log;

-- Removes chats that were deleted longer than `age` ago, at least an hour. Returns how many.
CREATE FUNCTION purge_chats(age interval, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  purged integer;
BEGIN
  DELETE FROM chats c USING (
    SELECT d.id FROM chats d WHERE d.deleted_at < clock_timestamp() - greatest(age, interval '1 hour') LIMIT most FOR UPDATE SKIP LOCKED) old
   WHERE c.id = old.id;
  GET DIAGNOSTICS purged = ROW_COUNT;
  RETURN purged;
END
$$;

-- Removes sessions that nobody can open: all their devices signed out longer than `age` ago or have been unused for
-- `lifetime`, and no link is valid. A session that never had a device is unused if its chats are. `age` is at least an
-- hour and `lifetime` a day, whatever the caller asks for. Returns how many.
CREATE FUNCTION purge_sessions(age interval, lifetime interval, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  purged integer;
BEGIN
  age := greatest(age, interval '1 hour');
  lifetime := greatest(lifetime, interval '1 day');
  DELETE FROM links l WHERE l.expires_at < clock_timestamp();
  DELETE FROM sessions s USING (
    SELECT o.id FROM sessions o
     WHERE o.created_at < clock_timestamp() - age
       AND NOT EXISTS (SELECT FROM devices d WHERE d.session_id = o.id
                          AND CASE WHEN d.revoked_at IS NULL THEN d.last_seen_at > clock_timestamp() - lifetime
                                   ELSE d.revoked_at > clock_timestamp() - age END)
       AND NOT EXISTS (SELECT FROM links l WHERE l.session_id = o.id)
       AND (EXISTS (SELECT FROM devices d WHERE d.session_id = o.id)
            OR (o.last_seen_at < clock_timestamp() - lifetime
                AND NOT EXISTS (SELECT FROM chats c WHERE c.session_id = o.id AND c.updated_at > clock_timestamp() - lifetime)))
     LIMIT most FOR UPDATE SKIP LOCKED) old
   WHERE s.id = old.id;
  GET DIAGNOSTICS purged = ROW_COUNT;
  RETURN purged;
END
$$;
REVOKE ALL ON FUNCTION purge_chats, purge_sessions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION purge_chats, purge_sessions TO runnel_runtime;
