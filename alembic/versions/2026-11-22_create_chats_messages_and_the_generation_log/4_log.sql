-- The log's narrow door: functions that run as runnel_log and can be called by the runtime only.
-- Every function that changes a generation does so in one UPDATE that names the fence, so all of them are
-- ordered by that row's lock and a process whose lease was taken over can change nothing.

-- Queued answers in the order they will start: sessions take turns, and a chat's answers wait for each other.
CREATE FUNCTION log_queue() RETURNS TABLE (generation_id uuid, place bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH live AS (
    SELECT g.id, g.chat_id, g.status, g.queued_at,
           row_number() OVER (PARTITION BY g.session_id ORDER BY (g.status = 'streaming') DESC, g.queued_at, g.id) AS turn,
           row_number() OVER (PARTITION BY g.chat_id ORDER BY (g.status = 'streaming') DESC, g.queued_at, g.id) AS turn_in_chat
      FROM generations g WHERE g.status IN ('queued', 'streaming')
  )
  SELECT id, row_number() OVER (ORDER BY turn_in_chat > 1, turn, queued_at, id) FROM live WHERE status = 'queued'
$$;

-- Claim: first what a dead or leaving process left behind, then as many queued answers as the model has slots free.
-- `only` asks for one answer and gets it if its turn has come. One claim at a time, so that slots are counted exactly.
CREATE FUNCTION log_claim(claimer text, slots integer, lease interval, only_id uuid DEFAULT NULL, most integer DEFAULT 1000)
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

-- Append, for all answers of a process at once: compare-and-swap on fence and last seq. A null seq only renews the lease.
-- What is missing from the result was refused: fenced off, finished, or already appended.
CREATE FUNCTION log_append(ids uuid[], fences integer[], seqs integer[], kinds smallint[], texts text[], offsets bigint[], lease interval)
RETURNS TABLE (id uuid, stop_requested boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);  -- a crash of PostgreSQL loses a suffix of the log, never a hole in it
  RETURN QUERY
  WITH new AS (
    SELECT * FROM unnest(ids, fences, seqs, kinds, texts, offsets) AS t (id, fence, seq, kind, text, stream_offset)
  ), changed AS (
    UPDATE generations g
       SET last_seq = coalesce(new.seq, g.last_seq), upstream_offset = coalesce(new.stream_offset, g.upstream_offset),
           lease_until = clock_timestamp() + lease
      FROM new
     WHERE g.id = new.id AND g.fence = new.fence AND g.status = 'streaming' AND (new.seq IS NULL OR g.last_seq = new.seq - 1)
    RETURNING g.id, g.session_id, g.stop_requested, new.seq, new.fence, new.kind, new.text
  ), logged AS (
    INSERT INTO generation_chunks (generation_id, session_id, seq, fence, kind, text)
    SELECT c.id, c.session_id, c.seq, c.fence, c.kind, c.text FROM changed c WHERE c.seq IS NOT NULL
  ), told AS (
    SELECT pg_notify('runnel_log', string_agg(n.id || ':' || n.seq, ','))      -- a payload holds 8,000 bytes
      FROM (SELECT c.id, c.seq, row_number() OVER () / 150 AS part FROM changed c WHERE c.seq IS NOT NULL) n GROUP BY n.part
  )
  SELECT c.id, c.stop_requested FROM changed c WHERE (SELECT count(*) FROM told) >= 0;
END
$$;

-- Finish: the message's text is what the log says. True if it was this call that finished it.
CREATE FUNCTION log_finish(finished_id uuid, held_fence integer, at_seq integer, final_status text, failure text, reason text,
                           used jsonb, timed jsonb)
RETURNS boolean
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

-- The model server was asked anew, under a new name: remember it before asking.
CREATE FUNCTION log_rename(renamed_id uuid, held_fence integer, key text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  WITH changed AS (
    UPDATE generations g SET upstream_key = key, upstream_offset = 0
     WHERE g.id = renamed_id AND g.fence = held_fence AND g.status = 'streaming' RETURNING 1
  )
  SELECT EXISTS (SELECT FROM changed)
$$;

-- Release: a process that leaves expires its own leases, so that others go on at once.
CREATE FUNCTION log_release(ids uuid[], fences integer[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  released integer;
BEGIN
  UPDATE generations g SET lease_until = '-infinity', owner = NULL
    FROM unnest(ids, fences) AS t (id, fence) WHERE g.id = t.id AND g.fence = t.fence AND g.status = 'streaming';
  GET DIAGNOSTICS released = ROW_COUNT;
  PERFORM pg_notify('runnel_work', '');
  RETURN released;
END
$$;

-- Expire: the connection of a process was lost, and it has renewed nothing since. If it lives after all, the fence
-- keeps it from doing harm.
CREATE FUNCTION log_expire(lost_owner text, lease interval, silence interval) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  expired integer;
BEGIN
  UPDATE generations g SET lease_until = '-infinity'
   WHERE g.owner = lost_owner AND g.status = 'streaming' AND g.lease_until < clock_timestamp() - silence + lease;
  GET DIAGNOSTICS expired = ROW_COUNT;
  IF expired > 0 THEN
    PERFORM pg_notify('runnel_work', '');
  END IF;
  RETURN expired;
END
$$;

-- Read: what follows a viewer's place, for any number of answers at once.
CREATE FUNCTION log_read(ids uuid[], after_seqs integer[])
RETURNS TABLE (generation_id uuid, seq integer, fence integer, kind smallint, text text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT c.generation_id, c.seq, c.fence, c.kind, c.text
    FROM unnest(ids, after_seqs) AS t (id, after) JOIN generation_chunks c ON c.generation_id = t.id AND c.seq > t.after
   ORDER BY c.generation_id, c.seq
$$;

CREATE FUNCTION log_state(ids uuid[])
RETURNS TABLE (id uuid, status text, fence integer, last_seq integer, place bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT g.id, g.status, g.fence, g.last_seq, q.place
    FROM generations g LEFT JOIN log_queue() q ON g.status = 'queued' AND q.generation_id = g.id WHERE g.id = ANY (ids)
$$;

-- When to claim again: what is alive, and seconds until the earliest lease ends.
CREATE FUNCTION log_next() RETURNS TABLE (waiting bigint, streaming bigint, next_expiry double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT count(*) FILTER (WHERE g.status = 'queued'), count(*) FILTER (WHERE g.status = 'streaming'),
         extract(epoch FROM min(g.lease_until) FILTER (WHERE g.status = 'streaming' AND g.lease_until > '-infinity')
                            - clock_timestamp())::double precision
    FROM generations g WHERE g.status IN ('queued', 'streaming')
$$;

-- Chunks are needed for a while after the end, for viewers who come back late; then the message alone will do.
CREATE FUNCTION log_prune(age interval, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  pruned integer;
BEGIN
  DELETE FROM generation_chunks c USING (
    SELECT g.id FROM generations g
     WHERE g.finished_at < clock_timestamp() - age AND EXISTS (SELECT FROM generation_chunks x WHERE x.generation_id = g.id)
     ORDER BY g.finished_at DESC LIMIT most) old
   WHERE c.generation_id = old.id;
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END
$$;

-- Give the functions to runnel_log. Who owns a function must be able to create in its schema, at that moment only.
DO $$
DECLARE
  door regprocedure;
BEGIN
  EXECUTE 'GRANT CREATE ON SCHEMA public TO runnel_log';
  FOR door IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'log\_%' LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', door);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO runnel_runtime', door);
    EXECUTE format('ALTER FUNCTION %s OWNER TO runnel_log', door);
  END LOOP;
  EXECUTE 'REVOKE CREATE ON SCHEMA public FROM runnel_log';
END
$$;
