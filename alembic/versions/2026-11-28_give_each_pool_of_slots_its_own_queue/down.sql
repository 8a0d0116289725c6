DROP FUNCTION log_claim_from_pools, log_has_room;

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

ALTER TABLE generations DROP COLUMN pool;
