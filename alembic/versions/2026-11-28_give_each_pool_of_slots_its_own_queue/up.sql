-- A pool is what shares slots: a model server, or one model of a server that loads several. The default pool has no name.
ALTER TABLE generations ADD COLUMN pool text NOT NULL DEFAULT '';

-- Queued answers by place: 1 starts next in its pool. Addresses take turns, then sessions. An answer that follows another
-- one in its chat comes after all that may start.
CREATE OR REPLACE FUNCTION log_queue() RETURNS TABLE (generation_id uuid, place bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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

-- Like log_claim, for several pools with `slots` each. A queued answer in none of them is moved to the pool of the longest
-- prefix of its model: the empty prefix fits all, `home` fits `home` and `home/model`.
CREATE FUNCTION log_claim_from_pools(
  claimer text, pools text[], slots integer[], prefixes text[], pools_of_prefixes text[], lease interval,
  only_id uuid DEFAULT NULL, most integer DEFAULT 1000
) RETURNS TABLE (
  id uuid, session_id uuid, chat_id uuid, message_id uuid, fence integer, last_seq integer, previous_key text,
  upstream_key text, upstream_offset bigint, stop_requested boolean, attempts integer, request jsonb
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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

-- Whether a pool has a free slot, and no answer waits for it.
CREATE FUNCTION log_has_room(wanted text, slots integer) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT count(*) FILTER (WHERE g.status = 'queued') = 0 AND count(*) FILTER (WHERE g.status = 'streaming') < slots
    FROM generations g WHERE g.status IN ('queued', 'streaming') AND g.pool = wanted
$$;

REVOKE ALL ON FUNCTION log_claim_from_pools, log_has_room FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log_claim_from_pools, log_has_room TO runnel_runtime;
GRANT CREATE ON SCHEMA public TO runnel_log;
ALTER FUNCTION log_claim_from_pools OWNER TO runnel_log;
ALTER FUNCTION log_has_room OWNER TO runnel_log;
REVOKE CREATE ON SCHEMA public FROM runnel_log;
