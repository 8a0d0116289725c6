-- The current schema: the result of all migrations, dumped by `make schema`. Do not edit it.
-- Read it to learn what exists now; the migrations in versions/ show how it came to be.
-- The roles belong to the cluster: runnel_owner owns the tables, runnel_log owns the log's functions, runnel_search
-- those of searches, runnel_runtime has the rights of dbapi's login.

CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA public;

CREATE EXTENSION IF NOT EXISTS unaccent WITH SCHEMA public;

CREATE FUNCTION public.announce_chat() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF NEW.seen_at <> OLD.seen_at THEN
      PERFORM pg_notify('runnel_chats', NEW.session_id || ':' || NEW.id || ':');
      RETURN NEW;
    END IF;
    NEW.revision := OLD.revision + 1;
  END IF;
  PERFORM pg_notify('runnel_chats', NEW.session_id || ':' || NEW.id || ':' || NEW.revision);
  RETURN NEW;
END
$$;

ALTER FUNCTION public.announce_chat() OWNER TO runnel_owner;

CREATE FUNCTION public.announce_end() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
  PERFORM pg_notify('runnel_chats', NEW.session_id || ':' || NEW.chat_id || ':');
  RETURN NULL;
END
$$;

ALTER FUNCTION public.announce_end() OWNER TO runnel_owner;

CREATE FUNCTION public.begin_write(writer uuid, most integer) RETURNS double precision
    LANGUAGE plpgsql
    AS $$
DECLARE
  seconds double precision;
BEGIN
  PERFORM set_config('app.session_id', writer::text, true);
  IF most > 0 THEN
    UPDATE sessions s
       SET writes = CASE WHEN s.writes_since < clock_timestamp() - interval '1 minute' THEN 1 ELSE s.writes + 1 END,
           writes_since = CASE WHEN s.writes_since < clock_timestamp() - interval '1 minute' THEN clock_timestamp() ELSE s.writes_since END
     WHERE s.id = writer
    RETURNING CASE WHEN s.writes > most THEN extract(epoch FROM s.writes_since + interval '1 minute' - clock_timestamp()) END INTO seconds;
  END IF;
  RETURN seconds;
END
$$;

ALTER FUNCTION public.begin_write(writer uuid, most integer) OWNER TO runnel_owner;

CREATE FUNCTION public.current_session_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NULLIF(current_setting('app.session_id'::text, true), ''::text))::uuid;

ALTER FUNCTION public.current_session_id() OWNER TO runnel_owner;

CREATE FUNCTION public.fill_words(most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
  last_id CONSTANT uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  after uuid;
  page uuid[];
BEGIN
  SELECT p.up_to INTO after FROM message_words_progress p FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    INSERT INTO message_words_progress DEFAULT VALUES ON CONFLICT DO NOTHING;
    RETURN 0;
  ELSIF after = last_id THEN
    RETURN NULL;
  END IF;
  page := ARRAY(SELECT m.id FROM messages m WHERE m.id > after ORDER BY m.id LIMIT most);
  INSERT INTO message_words (message_id, session_id, chat_id, position, words)
  SELECT m.id, m.session_id, m.chat_id, m.position, words_of(m.content) FROM messages m
   WHERE m.id = ANY (page) AND m.content <> '' AND NOT EXISTS (SELECT FROM message_words w WHERE w.message_id = m.id)
     AND NOT EXISTS (SELECT FROM chats c WHERE c.id = m.chat_id AND c.is_temporary)
     FOR KEY SHARE OF m NOWAIT
  ON CONFLICT (message_id) DO NOTHING;
  UPDATE message_words_progress SET up_to = coalesce(page[cardinality(page)], last_id);
  RETURN nullif(cardinality(page), 0);
END
$$;

ALTER FUNCTION public.fill_words(most integer) OWNER TO runnel_owner;

CREATE FUNCTION public.find_messages(query tsquery, most integer, only_newest boolean, hidden uuid[]) RETURNS TABLE(message_id uuid, rank real)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
  asker uuid := current_session_id();
  required text := querytree(query);  -- without exclusions; T if nothing else is left
  is_exact boolean := required = query::text;
  in_session tsquery;  -- its words as they are in the index, in any order
BEGIN
  IF asker IS NULL THEN
    RAISE EXCEPTION 'a search needs a session' USING ERRCODE = 'insufficient_privilege';
  END IF;
  most := least(most, 1000);
  IF required NOT IN ('', 'T') AND NOT EXISTS (
    SELECT FROM regexp_matches(required, '''([^'']+)''', 'g') AS word WHERE octet_length(word[1]) > 2000
  ) THEN
    in_session := regexp_replace(
      regexp_replace(required, '<(-|\d+)>', '&', 'g'), '''([^'']+)''', '''' || left(asker::text, 13) || '\1''', 'g');
  END IF;
  IF only_newest OR NOT EXISTS (
    SELECT FROM message_words w WHERE w.session_id = asker ORDER BY w.position OFFSET 1000 LIMIT 1
  ) THEN
    RETURN QUERY
    WITH newest AS MATERIALIZED (
      SELECT w.message_id, w.position, w.words FROM message_words w
       WHERE w.session_id = asker AND w.chat_id <> ALL (hidden) ORDER BY w.position DESC LIMIT 1000
    )
    SELECT n.message_id, ts_rank(n.words, query) FROM newest n
     WHERE n.words @@ query ORDER BY n.position DESC LIMIT most;
  ELSIF in_session IS NULL THEN
    RETURN QUERY
    SELECT f.message_id, ts_rank(f.words, query) FROM (
      SELECT w.message_id, w.words FROM message_words w
       WHERE w.session_id = asker AND w.words @@ query AND w.chat_id <> ALL (hidden)
       ORDER BY w.position DESC LIMIT most) f;
  ELSIF required LIKE '%<%' THEN
    -- The planner overestimates how often a phrase occurs, and would search from the newest message on without the index.
    RETURN QUERY
    SELECT f.message_id, ts_rank(f.words, query) FROM (
      SELECT w.message_id, w.words FROM message_words w
       WHERE w.session_id = asker AND words_in_session(w.session_id, w.words) @@ in_session AND w.words @@ query
         AND w.chat_id <> ALL (hidden)
       ORDER BY w.position + 0 DESC LIMIT most) f;
  ELSE
    -- coalesce hides that both conditions mean the same. The planner would expect too few messages.
    RETURN QUERY
    SELECT f.message_id, ts_rank(f.words, query) FROM (
      SELECT w.message_id, w.words FROM message_words w
       WHERE w.session_id = asker AND words_in_session(w.session_id, w.words) @@ in_session
         AND (is_exact OR coalesce(w.words @@ query, false)) AND w.chat_id <> ALL (hidden)
       ORDER BY w.position DESC LIMIT most) f;
  END IF;
END
$$;

ALTER FUNCTION public.find_messages(query tsquery, most integer, only_newest boolean, hidden uuid[]) OWNER TO runnel_search;

CREATE FUNCTION public.is_temporary_chat(wanted uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  SELECT EXISTS (SELECT FROM chats c WHERE c.id = wanted AND c.is_temporary)
$$;

ALTER FUNCTION public.is_temporary_chat(wanted uuid) OWNER TO runnel_owner;

CREATE FUNCTION public.log_append(ids uuid[], fences integer[], seqs integer[], kinds smallint[], texts text[], offsets bigint[], lease interval) RETURNS TABLE(id uuid, stop_requested boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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
    RETURNING g.id, g.session_id, g.owner, g.stop_requested, new.seq, new.fence, new.kind, new.text
  ), logged AS (
    INSERT INTO generation_chunks (generation_id, session_id, seq, fence, kind, text)
    SELECT c.id, c.session_id, c.seq, c.fence, c.kind, c.text FROM changed c WHERE c.seq IS NOT NULL
  ), told AS (
    SELECT pg_notify('runnel_log', coalesce(n.owner, '') || ',' || string_agg(n.id || ':' || n.seq, ','))  -- a payload holds 8,000 bytes
      FROM (SELECT c.id, c.seq, c.owner, row_number() OVER () / 150 AS part FROM changed c WHERE c.seq IS NOT NULL) n
     GROUP BY n.owner, n.part
  )
  SELECT c.id, c.stop_requested FROM changed c WHERE (SELECT count(*) FROM told) >= 0;
END
$$;

ALTER FUNCTION public.log_append(ids uuid[], fences integer[], seqs integer[], kinds smallint[], texts text[], offsets bigint[], lease interval) OWNER TO runnel_log;

CREATE FUNCTION public.log_claim(claimer text, slots integer, lease interval, only_id uuid DEFAULT NULL::uuid, most integer DEFAULT 1000) RETURNS TABLE(id uuid, session_id uuid, chat_id uuid, message_id uuid, fence integer, last_seq integer, previous_key text, upstream_key text, upstream_offset bigint, stop_requested boolean, attempts integer, request jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
  free integer;
  ranked boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(x'52756E6E6C636C6D'::bigint);
  SELECT slots - count(*) INTO free FROM generations g WHERE g.status = 'streaming';
  ranked := only_id IS NULL OR free < (SELECT count(*) FROM generations g WHERE g.status = 'queued');
  RETURN QUERY
  WITH chosen AS (
    SELECT g.id, g.upstream_key AS previous_key FROM generations g
     WHERE (only_id IS NULL OR g.id = only_id)
       AND ((g.status = 'streaming' AND g.lease_until < clock_timestamp())
            OR (g.status = 'queued' AND free > 0
                AND (NOT ranked OR g.id IN (SELECT q.generation_id FROM log_queue() q WHERE q.place <= free))
                AND NOT EXISTS (SELECT FROM generations o WHERE o.chat_id = g.chat_id AND o.id <> g.id
                                   AND (o.status = 'streaming' OR (o.status = 'queued' AND (o.queued_at, o.id) < (g.queued_at, g.id))))))
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

ALTER FUNCTION public.log_claim(claimer text, slots integer, lease interval, only_id uuid, most integer) OWNER TO runnel_log;

CREATE FUNCTION public.log_claim_from_pools(claimer text, pools text[], slots integer[], prefixes text[], pools_of_prefixes text[], lease interval, only_id uuid DEFAULT NULL::uuid, most integer DEFAULT 1000) RETURNS TABLE(id uuid, session_id uuid, chat_id uuid, message_id uuid, fence integer, last_seq integer, previous_key text, upstream_key text, upstream_offset bigint, stop_requested boolean, attempts integer, request jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
  free integer[];
  ranked boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(x'52756E6E6C636C6D'::bigint);
  UPDATE generations g
     SET pool = coalesce((SELECT p.pool FROM unnest(prefixes, pools_of_prefixes) AS p (prefix, pool)
                           WHERE p.prefix = '' OR g.request->>'model' = p.prefix
                              OR starts_with(g.request->>'model', p.prefix || '/')
                           ORDER BY length(p.prefix) DESC LIMIT 1), '')
   WHERE g.status = 'queued' AND (only_id IS NULL OR g.id = only_id) AND g.pool <> ALL (pools);
  free := ARRAY(
    SELECT p.slots - (SELECT count(*) FROM generations g WHERE g.status = 'streaming' AND g.pool = p.pool)::integer
      FROM unnest(pools, slots) WITH ORDINALITY AS p (pool, slots, position) ORDER BY p.position);
  ranked := only_id IS NULL OR EXISTS (
    SELECT FROM unnest(pools, free) AS p (pool, free)
     WHERE p.free < (SELECT count(*) FROM generations g WHERE g.status = 'queued' AND g.pool = p.pool));
  RETURN QUERY
  WITH chosen AS (
    SELECT g.id, g.upstream_key AS previous_key
      FROM generations g LEFT JOIN unnest(pools, free) AS p (pool, free) ON p.pool = g.pool
     WHERE (only_id IS NULL OR g.id = only_id)
       AND ((g.status = 'streaming' AND g.lease_until < clock_timestamp())
            OR (g.status = 'queued' AND p.free > 0
                AND (NOT ranked OR EXISTS (SELECT FROM log_queue() q WHERE q.generation_id = g.id AND q.place <= p.free))
                AND NOT EXISTS (SELECT FROM generations o WHERE o.chat_id = g.chat_id AND o.id <> g.id
                                   AND (o.status = 'streaming' OR (o.status = 'queued' AND (o.queued_at, o.id) < (g.queued_at, g.id))))))
     ORDER BY g.status DESC, g.queued_at LIMIT most FOR UPDATE OF g SKIP LOCKED
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

ALTER FUNCTION public.log_claim_from_pools(claimer text, pools text[], slots integer[], prefixes text[], pools_of_prefixes text[], lease interval, only_id uuid, most integer) OWNER TO runnel_log;

CREATE FUNCTION public.log_expire(lost_owner text, lease interval, silence interval) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.log_expire(lost_owner text, lease interval, silence interval) OWNER TO runnel_log;

CREATE FUNCTION public.log_finish(finished_id uuid, held_fence integer, at_seq integer, final_status text, failure text, reason text, used jsonb, timed jsonb) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.log_finish(finished_id uuid, held_fence integer, at_seq integer, final_status text, failure text, reason text, used jsonb, timed jsonb) OWNER TO runnel_log;

CREATE FUNCTION public.log_has_room(wanted text, slots integer) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  SELECT count(*) FILTER (WHERE g.status = 'queued') = 0 AND count(*) FILTER (WHERE g.status = 'streaming') < slots
    FROM generations g WHERE g.status IN ('queued', 'streaming') AND g.pool = wanted
$$;

ALTER FUNCTION public.log_has_room(wanted text, slots integer) OWNER TO runnel_log;

CREATE FUNCTION public.log_next() RETURNS TABLE(waiting bigint, streaming bigint, next_expiry double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  SELECT count(*) FILTER (WHERE g.status = 'queued'), count(*) FILTER (WHERE g.status = 'streaming'),
         extract(epoch FROM min(g.lease_until) FILTER (WHERE g.status = 'streaming' AND g.lease_until > '-infinity')
                            - clock_timestamp())::double precision
    FROM generations g WHERE g.status IN ('queued', 'streaming')
$$;

ALTER FUNCTION public.log_next() OWNER TO runnel_log;

CREATE FUNCTION public.log_prune(age interval, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
  pruned integer;
BEGIN
  DELETE FROM generation_chunks c USING (
    SELECT g.id FROM generations g
     WHERE g.finished_at < clock_timestamp() - age AND EXISTS (SELECT FROM generation_chunks x WHERE x.generation_id = g.id)
     ORDER BY g.finished_at DESC LIMIT most FOR UPDATE OF g SKIP LOCKED) old
   WHERE c.generation_id = old.id;
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END
$$;

ALTER FUNCTION public.log_prune(age interval, most integer) OWNER TO runnel_log;

CREATE FUNCTION public.log_queue() RETURNS TABLE(generation_id uuid, place bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  WITH live AS (
    SELECT g.id, g.pool, g.address, g.status, g.queued_at,
           row_number() OVER (PARTITION BY g.pool, g.session_id
                              ORDER BY (g.status = 'streaming') DESC, g.queued_at, g.id) AS turn,
           row_number() OVER (PARTITION BY g.chat_id ORDER BY (g.status = 'streaming') DESC, g.queued_at, g.id) > 1 AS follows
      FROM generations g WHERE g.status IN ('queued', 'streaming')
  ), turns AS (
    SELECT l.*, row_number() OVER (PARTITION BY l.pool, l.address
                                   ORDER BY (l.status = 'streaming') DESC, l.follows, l.turn, l.queued_at, l.id) AS turn_of_address
      FROM live l
  )
  SELECT id, row_number() OVER (PARTITION BY pool ORDER BY follows, turn_of_address, turn, queued_at, id)
    FROM turns WHERE status = 'queued'
$$;

ALTER FUNCTION public.log_queue() OWNER TO runnel_log;

CREATE FUNCTION public.log_read(ids uuid[], after_seqs integer[]) RETURNS TABLE(generation_id uuid, seq integer, fence integer, kind smallint, text text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  SELECT c.generation_id, c.seq, c.fence, c.kind, c.text
    FROM unnest(ids, after_seqs) AS t (id, after) JOIN generation_chunks c ON c.generation_id = t.id AND c.seq > t.after
   ORDER BY c.generation_id, c.seq
$$;

ALTER FUNCTION public.log_read(ids uuid[], after_seqs integer[]) OWNER TO runnel_log;

CREATE FUNCTION public.log_release(ids uuid[], fences integer[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.log_release(ids uuid[], fences integer[]) OWNER TO runnel_log;

CREATE FUNCTION public.log_rename(renamed_id uuid, held_fence integer, key text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  WITH changed AS (
    UPDATE generations g SET upstream_key = key, upstream_offset = 0
     WHERE g.id = renamed_id AND g.fence = held_fence AND g.status = 'streaming' RETURNING 1
  )
  SELECT EXISTS (SELECT FROM changed)
$$;

ALTER FUNCTION public.log_rename(renamed_id uuid, held_fence integer, key text) OWNER TO runnel_log;

CREATE FUNCTION public.log_reopen(reopened_id uuid, content text, reasoning text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.log_reopen(reopened_id uuid, content text, reasoning text) OWNER TO runnel_log;

CREATE FUNCTION public.log_state(ids uuid[]) RETURNS TABLE(id uuid, status text, fence integer, last_seq integer, place bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
  SELECT g.id, g.status, g.fence, g.last_seq, q.place
    FROM generations g LEFT JOIN log_queue() q ON g.status = 'queued' AND q.generation_id = g.id WHERE g.id = ANY (ids)
$$;

ALTER FUNCTION public.log_state(ids uuid[]) OWNER TO runnel_log;

CREATE FUNCTION public.log_unfinished(asker bytea) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(x'61646472'::integer, hashtext(encode(asker, 'hex')));
  RETURN (SELECT count(*) FROM generations g WHERE g.address = asker AND g.status IN ('queued', 'streaming'));
END
$$;

ALTER FUNCTION public.log_unfinished(asker bytea) OWNER TO runnel_log;

CREATE FUNCTION public.mark_title_of_user() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
  NEW.title_from := 'user';
  RETURN NEW;
END
$$;

ALTER FUNCTION public.mark_title_of_user() OWNER TO runnel_owner;

CREATE FUNCTION public.purge_chats(age interval, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.purge_chats(age interval, most integer) OWNER TO runnel_owner;

CREATE FUNCTION public.purge_sessions(age interval, lifetime interval, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.purge_sessions(age interval, lifetime interval, most integer) OWNER TO runnel_owner;

CREATE FUNCTION public.purge_temporary_chats(gone interval, unused interval, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
DECLARE
  purged integer;
BEGIN
  DELETE FROM chats c USING (
    SELECT t.id FROM chats t
     WHERE t.is_temporary
       AND (t.left_at < clock_timestamp() - greatest(gone, interval '30 seconds')
            OR t.updated_at < clock_timestamp() - greatest(unused, interval '1 hour'))
       AND NOT EXISTS (SELECT FROM generations g WHERE g.chat_id = t.id AND g.status IN ('queued', 'streaming'))
     LIMIT most FOR UPDATE SKIP LOCKED) old
   WHERE c.id = old.id;
  GET DIAGNOSTICS purged = ROW_COUNT;
  RETURN purged;
END
$$;

ALTER FUNCTION public.purge_temporary_chats(gone interval, unused interval, most integer) OWNER TO runnel_owner;

CREATE FUNCTION public.store_words() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
  IF NEW.content = '' THEN
    DELETE FROM message_words w WHERE w.message_id = NEW.id;
  ELSIF NOT is_temporary_chat(NEW.chat_id) THEN
    INSERT INTO message_words (message_id, session_id, chat_id, position, words)
    VALUES (NEW.id, NEW.session_id, NEW.chat_id, NEW.position, words_of(NEW.content))
    ON CONFLICT (message_id) DO UPDATE SET words = excluded.words;
  END IF;
  RETURN NULL;
END
$$;

ALTER FUNCTION public.store_words() OWNER TO runnel_search;

CREATE FUNCTION public.store_words_of_kept() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
BEGIN
  PERFORM m.id FROM messages m WHERE m.session_id = NEW.session_id AND m.chat_id = NEW.id ORDER BY m.id FOR SHARE;
  INSERT INTO message_words (message_id, session_id, chat_id, position, words)
  SELECT m.id, m.session_id, m.chat_id, m.position, words_of(m.content) FROM messages m
   WHERE m.session_id = NEW.session_id AND m.chat_id = NEW.id AND m.content <> ''
  ON CONFLICT (message_id) DO NOTHING;
  RETURN NULL;
END
$$;

ALTER FUNCTION public.store_words_of_kept() OWNER TO runnel_owner;

CREATE FUNCTION public.unfinished_answers(asker uuid) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM FROM sessions s WHERE s.id = asker FOR NO KEY UPDATE;
  RETURN (SELECT count(*) FROM generations g WHERE g.session_id = asker AND g.status IN ('queued', 'streaming'));
END
$$;

ALTER FUNCTION public.unfinished_answers(asker uuid) OWNER TO runnel_owner;

CREATE FUNCTION public.words_in_session(session_id uuid, words tsvector) RETURNS tsvector
    LANGUAGE sql IMMUTABLE COST 1000 PARALLEL SAFE
    RETURN array_to_tsvector(ARRAY(SELECT ("left"((words_in_session.session_id)::text, 13) || word.word) FROM unnest(tsvector_to_array(words_in_session.words)) word(word) WHERE (octet_length(word.word) <= 2000) LIMIT 40000));

ALTER FUNCTION public.words_in_session(session_id uuid, words tsvector) OWNER TO runnel_owner;

CREATE TEXT SEARCH CONFIGURATION public.runnel (
    PARSER = pg_catalog."default" );

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR asciiword WITH public.unaccent, simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR word WITH public.unaccent, simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR numword WITH public.unaccent, simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR email WITH simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR url WITH simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR host WITH simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR sfloat WITH simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR version WITH simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR hword_numpart WITH public.unaccent, simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR hword_part WITH public.unaccent, simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR hword_asciipart WITH public.unaccent, simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR numhword WITH public.unaccent, simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR asciihword WITH public.unaccent, simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR hword WITH public.unaccent, simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR url_path WITH simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR file WITH simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR "float" WITH simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR "int" WITH simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel
    ADD MAPPING FOR uint WITH simple;

ALTER TEXT SEARCH CONFIGURATION public.runnel OWNER TO runnel_owner;

CREATE FUNCTION public.words_of(content text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_tsvector('public.runnel'::regconfig, regexp_replace(regexp_replace(regexp_replace(replace("left"(content, 100000), 'ς'::text, 'σ'::text), '[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]+'::text, ''::text, 'g'::text), '[!-/:-@\[-`{-~]+'::text, ' '::text, 'g'::text), '([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff])'::text, ' \1 '::text, 'g'::text));

ALTER FUNCTION public.words_of(content text) OWNER TO runnel_owner;

CREATE TABLE public.chats (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    session_id uuid NOT NULL,
    username text NOT NULL,
    title text,
    model text,
    system_prompt text DEFAULT ''::text NOT NULL,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    tip_id uuid,
    pinned_at timestamp with time zone,
    archived_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    deleted_at timestamp with time zone,
    revision integer DEFAULT 0 NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    title_from text,
    is_temporary boolean DEFAULT false NOT NULL,
    left_at timestamp with time zone,
    left_by integer,
    CONSTRAINT chats_title_check CHECK ((char_length(title) <= 200)),
    CONSTRAINT chats_title_from_check CHECK ((title_from = ANY (ARRAY['words'::text, 'requested'::text, 'model'::text, 'user'::text]))),
    CONSTRAINT chats_username_check CHECK (((char_length(username) >= 1) AND (char_length(username) <= 100)))
);

ALTER TABLE ONLY public.chats FORCE ROW LEVEL SECURITY;

ALTER TABLE public.chats OWNER TO runnel_owner;

CREATE TABLE public.devices (
    token_hash bytea NOT NULL,
    session_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    revoked_at timestamp with time zone,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    CONSTRAINT devices_name_check CHECK ((char_length(name) <= 100)),
    CONSTRAINT devices_token_hash_check CHECK ((octet_length(token_hash) = 32))
);

ALTER TABLE ONLY public.devices FORCE ROW LEVEL SECURITY;

ALTER TABLE public.devices OWNER TO runnel_owner;

CREATE TABLE public.generation_chunks (
    generation_id uuid NOT NULL,
    session_id uuid NOT NULL,
    seq integer NOT NULL,
    fence integer NOT NULL,
    kind smallint DEFAULT 0 NOT NULL,
    text text NOT NULL
);

ALTER TABLE ONLY public.generation_chunks FORCE ROW LEVEL SECURITY;

ALTER TABLE public.generation_chunks OWNER TO runnel_owner;

CREATE TABLE public.generations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    session_id uuid NOT NULL,
    chat_id uuid NOT NULL,
    message_id uuid NOT NULL,
    status text DEFAULT 'queued'::text NOT NULL,
    fence integer DEFAULT 0 NOT NULL,
    owner text,
    lease_until timestamp with time zone,
    last_seq integer DEFAULT 0 NOT NULL,
    upstream_key text,
    upstream_offset bigint DEFAULT 0 NOT NULL,
    stop_requested boolean DEFAULT false NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    claim_seq integer DEFAULT 0 NOT NULL,
    request jsonb DEFAULT '{}'::jsonb NOT NULL,
    finish_reason text,
    queued_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    address bytea,
    pool text DEFAULT ''::text NOT NULL,
    CONSTRAINT generations_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'streaming'::text, 'complete'::text, 'stopped'::text, 'failed'::text])))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='2000');

ALTER TABLE ONLY public.generations FORCE ROW LEVEL SECURITY;

ALTER TABLE public.generations OWNER TO runnel_owner;

CREATE TABLE public.links (
    token_hash bytea NOT NULL,
    session_id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT links_token_hash_check CHECK ((octet_length(token_hash) = 32))
);

ALTER TABLE ONLY public.links FORCE ROW LEVEL SECURITY;

ALTER TABLE public.links OWNER TO runnel_owner;

CREATE TABLE public.message_words (
    message_id uuid NOT NULL,
    session_id uuid NOT NULL,
    chat_id uuid NOT NULL,
    "position" bigint NOT NULL,
    words tsvector NOT NULL
);

ALTER TABLE ONLY public.message_words FORCE ROW LEVEL SECURITY;

ALTER TABLE public.message_words OWNER TO runnel_owner;

CREATE TABLE public.message_words_progress (
    one_row boolean DEFAULT true NOT NULL,
    up_to uuid DEFAULT '00000000-0000-0000-0000-000000000000'::uuid NOT NULL,
    CONSTRAINT message_words_progress_one_row_check CHECK (one_row)
);

ALTER TABLE ONLY public.message_words_progress FORCE ROW LEVEL SECURITY;

ALTER TABLE public.message_words_progress OWNER TO runnel_owner;

CREATE TABLE public.messages (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    session_id uuid NOT NULL,
    chat_id uuid NOT NULL,
    parent_id uuid,
    role text NOT NULL,
    content text DEFAULT ''::text NOT NULL,
    reasoning text DEFAULT ''::text NOT NULL,
    status text DEFAULT 'complete'::text NOT NULL,
    error text,
    model text,
    usage jsonb,
    timings jsonb,
    "position" bigint NOT NULL,
    turn_key bytea,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT messages_role_check CHECK ((role = ANY (ARRAY['user'::text, 'assistant'::text]))),
    CONSTRAINT messages_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'streaming'::text, 'complete'::text, 'stopped'::text, 'failed'::text])))
);

ALTER TABLE ONLY public.messages FORCE ROW LEVEL SECURITY;

ALTER TABLE public.messages OWNER TO runnel_owner;

ALTER TABLE public.messages ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.messages_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.presets (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    session_id uuid NOT NULL,
    name text NOT NULL,
    model text,
    system_prompt text DEFAULT ''::text NOT NULL,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT presets_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 100)))
);

ALTER TABLE ONLY public.presets FORCE ROW LEVEL SECURITY;

ALTER TABLE public.presets OWNER TO runnel_owner;

CREATE TABLE public.sessions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    writes integer DEFAULT 0 NOT NULL,
    writes_since timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    chat_defaults jsonb
);

ALTER TABLE ONLY public.sessions FORCE ROW LEVEL SECURITY;

ALTER TABLE public.sessions OWNER TO runnel_owner;

ALTER TABLE ONLY public.chats
    ADD CONSTRAINT chats_of_session UNIQUE (session_id, id);

ALTER TABLE ONLY public.chats
    ADD CONSTRAINT chats_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_of_session UNIQUE (session_id, id);

ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY public.generation_chunks
    ADD CONSTRAINT generation_chunks_pkey PRIMARY KEY (generation_id, seq);

ALTER TABLE ONLY public.generations
    ADD CONSTRAINT generations_of_message UNIQUE (message_id);

ALTER TABLE ONLY public.generations
    ADD CONSTRAINT generations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_of_session UNIQUE (session_id);

ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_pkey PRIMARY KEY (token_hash);

ALTER TABLE ONLY public.message_words
    ADD CONSTRAINT message_words_pkey PRIMARY KEY (message_id);

ALTER TABLE ONLY public.message_words_progress
    ADD CONSTRAINT message_words_progress_pkey PRIMARY KEY (one_row);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_of_chat UNIQUE (session_id, chat_id, id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_turn UNIQUE (session_id, chat_id, turn_key);

ALTER TABLE ONLY public.presets
    ADD CONSTRAINT presets_of_session UNIQUE (session_id, name);

ALTER TABLE ONLY public.presets
    ADD CONSTRAINT presets_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

CREATE INDEX chats_archived ON public.chats USING btree (session_id, updated_at DESC) WHERE (archived_at IS NOT NULL);

CREATE INDEX chats_latest ON public.chats USING btree (session_id, updated_at DESC);

CREATE INDEX chats_pinned ON public.chats USING btree (session_id, updated_at DESC) WHERE (pinned_at IS NOT NULL);

CREATE INDEX generations_finished ON public.generations USING btree (finished_at) WHERE (finished_at IS NOT NULL);

CREATE UNIQUE INDEX generations_one_per_chat ON public.generations USING btree (chat_id) WHERE (status = 'streaming'::text);

CREATE INDEX generations_waiting ON public.generations USING btree (queued_at) WHERE (status = ANY (ARRAY['queued'::text, 'streaming'::text]));

CREATE INDEX message_words_found ON public.message_words USING gin (public.words_in_session(session_id, words)) WITH (gin_pending_list_limit='256');

CREATE INDEX message_words_newest ON public.message_words USING btree (session_id, "position");

CREATE INDEX messages_by_parent ON public.messages USING btree (parent_id, chat_id, session_id);

CREATE TRIGGER announce BEFORE UPDATE ON public.chats FOR EACH ROW WHEN (((old.title_from IS DISTINCT FROM 'words'::text) OR (new.title_from IS DISTINCT FROM 'requested'::text))) EXECUTE FUNCTION public.announce_chat();

CREATE TRIGGER announce_end AFTER UPDATE OF status ON public.generations FOR EACH ROW WHEN (((old.status = ANY (ARRAY['queued'::text, 'streaming'::text])) AND (new.status <> ALL (ARRAY['queued'::text, 'streaming'::text])))) EXECUTE FUNCTION public.announce_end();

CREATE TRIGGER announce_new BEFORE INSERT ON public.chats FOR EACH ROW EXECUTE FUNCTION public.announce_chat();

CREATE TRIGGER title_of_user BEFORE UPDATE OF title ON public.chats FOR EACH ROW WHEN (((old.title IS NOT NULL) AND (new.title IS DISTINCT FROM old.title) AND (NOT (new.title_from IS DISTINCT FROM old.title_from)))) EXECUTE FUNCTION public.mark_title_of_user();

CREATE TRIGGER words_of_changed AFTER UPDATE OF content ON public.messages FOR EACH ROW WHEN ((new.content IS DISTINCT FROM old.content)) EXECUTE FUNCTION public.store_words();

CREATE TRIGGER words_of_kept AFTER UPDATE OF is_temporary ON public.chats FOR EACH ROW WHEN ((old.is_temporary AND (NOT new.is_temporary))) EXECUTE FUNCTION public.store_words_of_kept();

CREATE TRIGGER words_of_new AFTER INSERT ON public.messages FOR EACH ROW WHEN ((new.content <> ''::text)) EXECUTE FUNCTION public.store_words();

ALTER TABLE ONLY public.chats
    ADD CONSTRAINT chats_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.chats
    ADD CONSTRAINT chats_tip FOREIGN KEY (session_id, id, tip_id) REFERENCES public.messages(session_id, chat_id, id) ON DELETE SET NULL (tip_id);

ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.generation_chunks
    ADD CONSTRAINT generation_chunks_generation_id_fkey FOREIGN KEY (generation_id) REFERENCES public.generations(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.generations
    ADD CONSTRAINT generations_message FOREIGN KEY (session_id, chat_id, message_id) REFERENCES public.messages(session_id, chat_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.message_words
    ADD CONSTRAINT message_words_message FOREIGN KEY (session_id, chat_id, message_id) REFERENCES public.messages(session_id, chat_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_chat FOREIGN KEY (session_id, chat_id) REFERENCES public.chats(session_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_parent FOREIGN KEY (session_id, chat_id, parent_id) REFERENCES public.messages(session_id, chat_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.presets
    ADD CONSTRAINT presets_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE public.chats ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.devices ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.generation_chunks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.generations ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.links ENABLE ROW LEVEL SECURITY;

CREATE POLICY log ON public.generation_chunks TO runnel_log USING (true);

CREATE POLICY log ON public.generations TO runnel_log USING (true);

CREATE POLICY log ON public.messages FOR UPDATE TO runnel_log USING (((role = 'assistant'::text) AND (status = ANY (ARRAY['queued'::text, 'streaming'::text])))) WITH CHECK (true);

CREATE POLICY log_read ON public.messages FOR SELECT TO runnel_log USING ((role = 'assistant'::text));

ALTER TABLE public.message_words ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.message_words_progress ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.messages ENABLE ROW LEVEL SECURITY;

CREATE POLICY own_session ON public.chats TO runnel_runtime USING ((session_id = public.current_session_id()));

CREATE POLICY own_session ON public.devices TO runnel_runtime USING ((session_id = public.current_session_id()));

CREATE POLICY own_session ON public.generation_chunks TO runnel_runtime USING ((session_id = public.current_session_id()));

CREATE POLICY own_session ON public.generations TO runnel_runtime USING ((session_id = public.current_session_id()));

CREATE POLICY own_session ON public.links TO runnel_runtime USING ((session_id = public.current_session_id()));

CREATE POLICY own_session ON public.messages TO runnel_runtime USING ((session_id = public.current_session_id()));

CREATE POLICY own_session ON public.presets TO runnel_runtime USING ((session_id = public.current_session_id()));

CREATE POLICY own_session ON public.sessions TO runnel_runtime USING ((id = public.current_session_id()));

CREATE POLICY own_token ON public.devices FOR SELECT TO runnel_runtime USING ((token_hash = decode(NULLIF(current_setting('app.token_hash'::text, true), ''::text), 'hex'::text)));

CREATE POLICY own_token ON public.links FOR SELECT TO runnel_runtime USING ((token_hash = decode(NULLIF(current_setting('app.token_hash'::text, true), ''::text), 'hex'::text)));

CREATE POLICY owner ON public.chats TO runnel_owner USING (true);

CREATE POLICY owner ON public.devices TO runnel_owner USING (true);

CREATE POLICY owner ON public.generation_chunks TO runnel_owner USING (true);

CREATE POLICY owner ON public.generations TO runnel_owner USING (true);

CREATE POLICY owner ON public.links TO runnel_owner USING (true);

CREATE POLICY owner ON public.message_words TO runnel_owner USING (true);

CREATE POLICY owner ON public.message_words_progress TO runnel_owner USING (true);

CREATE POLICY owner ON public.messages TO runnel_owner USING (true);

CREATE POLICY owner ON public.presets TO runnel_owner USING (true);

CREATE POLICY owner ON public.sessions TO runnel_owner USING (true);

ALTER TABLE public.presets ENABLE ROW LEVEL SECURITY;

CREATE POLICY search ON public.message_words TO runnel_search USING (true);

ALTER TABLE public.sessions ENABLE ROW LEVEL SECURITY;

CREATE POLICY use_up ON public.links FOR DELETE TO runnel_runtime USING ((token_hash = decode(NULLIF(current_setting('app.token_hash'::text, true), ''::text), 'hex'::text)));

REVOKE ALL ON FUNCTION public.begin_write(writer uuid, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.begin_write(writer uuid, most integer) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.fill_words(most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.fill_words(most integer) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.find_messages(query tsquery, most integer, only_newest boolean, hidden uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_messages(query tsquery, most integer, only_newest boolean, hidden uuid[]) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.is_temporary_chat(wanted uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.is_temporary_chat(wanted uuid) TO runnel_search;

REVOKE ALL ON FUNCTION public.log_append(ids uuid[], fences integer[], seqs integer[], kinds smallint[], texts text[], offsets bigint[], lease interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_append(ids uuid[], fences integer[], seqs integer[], kinds smallint[], texts text[], offsets bigint[], lease interval) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_claim(claimer text, slots integer, lease interval, only_id uuid, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_claim(claimer text, slots integer, lease interval, only_id uuid, most integer) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_claim_from_pools(claimer text, pools text[], slots integer[], prefixes text[], pools_of_prefixes text[], lease interval, only_id uuid, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_claim_from_pools(claimer text, pools text[], slots integer[], prefixes text[], pools_of_prefixes text[], lease interval, only_id uuid, most integer) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_expire(lost_owner text, lease interval, silence interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_expire(lost_owner text, lease interval, silence interval) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_finish(finished_id uuid, held_fence integer, at_seq integer, final_status text, failure text, reason text, used jsonb, timed jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_finish(finished_id uuid, held_fence integer, at_seq integer, final_status text, failure text, reason text, used jsonb, timed jsonb) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_has_room(wanted text, slots integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_has_room(wanted text, slots integer) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_next() FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_next() TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_prune(age interval, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_prune(age interval, most integer) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_queue() FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_queue() TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_read(ids uuid[], after_seqs integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_read(ids uuid[], after_seqs integer[]) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_release(ids uuid[], fences integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_release(ids uuid[], fences integer[]) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_rename(renamed_id uuid, held_fence integer, key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_rename(renamed_id uuid, held_fence integer, key text) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_reopen(reopened_id uuid, content text, reasoning text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_reopen(reopened_id uuid, content text, reasoning text) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_state(ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_state(ids uuid[]) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.log_unfinished(asker bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_unfinished(asker bytea) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.mark_title_of_user() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.purge_chats(age interval, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.purge_chats(age interval, most integer) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.purge_sessions(age interval, lifetime interval, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.purge_sessions(age interval, lifetime interval, most integer) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.purge_temporary_chats(gone interval, unused interval, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.purge_temporary_chats(gone interval, unused interval, most integer) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.store_words() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.store_words_of_kept() FROM PUBLIC;

REVOKE ALL ON FUNCTION public.unfinished_answers(asker uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.unfinished_answers(asker uuid) TO runnel_runtime;

REVOKE ALL ON FUNCTION public.words_in_session(session_id uuid, words tsvector) FROM PUBLIC;
GRANT ALL ON FUNCTION public.words_in_session(session_id uuid, words tsvector) TO runnel_search;

REVOKE ALL ON FUNCTION public.words_of(content text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.words_of(content text) TO runnel_runtime;
GRANT ALL ON FUNCTION public.words_of(content text) TO runnel_search;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.chats TO runnel_runtime;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.devices TO runnel_runtime;

GRANT SELECT ON TABLE public.generation_chunks TO runnel_runtime;
GRANT SELECT,INSERT,DELETE ON TABLE public.generation_chunks TO runnel_log;

GRANT SELECT,INSERT,DELETE ON TABLE public.generations TO runnel_runtime;
GRANT SELECT,UPDATE ON TABLE public.generations TO runnel_log;

GRANT UPDATE(status) ON TABLE public.generations TO runnel_runtime;

GRANT UPDATE(stop_requested) ON TABLE public.generations TO runnel_runtime;

GRANT UPDATE(request) ON TABLE public.generations TO runnel_runtime;

GRANT UPDATE(queued_at) ON TABLE public.generations TO runnel_runtime;

GRANT UPDATE(finished_at) ON TABLE public.generations TO runnel_runtime;

GRANT UPDATE(address) ON TABLE public.generations TO runnel_runtime;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.links TO runnel_runtime;

GRANT SELECT,INSERT,DELETE ON TABLE public.message_words TO runnel_search;

GRANT UPDATE(words) ON TABLE public.message_words TO runnel_search;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.messages TO runnel_runtime;

GRANT SELECT(id) ON TABLE public.messages TO runnel_log;

GRANT SELECT(role) ON TABLE public.messages TO runnel_log;

GRANT UPDATE(content) ON TABLE public.messages TO runnel_log;

GRANT UPDATE(reasoning) ON TABLE public.messages TO runnel_log;

GRANT SELECT(status),UPDATE(status) ON TABLE public.messages TO runnel_log;

GRANT UPDATE(error) ON TABLE public.messages TO runnel_log;

GRANT UPDATE(usage) ON TABLE public.messages TO runnel_log;

GRANT UPDATE(timings) ON TABLE public.messages TO runnel_log;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.presets TO runnel_runtime;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.sessions TO runnel_runtime;
