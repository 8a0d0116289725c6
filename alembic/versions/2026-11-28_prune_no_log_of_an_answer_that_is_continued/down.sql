CREATE OR REPLACE FUNCTION log_prune(age interval, most integer) RETURNS integer
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
