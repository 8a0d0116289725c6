-- As before, but a notification begins with the owner of the answers it is about: the process that has just appended.
CREATE OR REPLACE FUNCTION log_append(ids uuid[], fences integer[], seqs integer[], kinds smallint[], texts text[], offsets bigint[], lease interval)
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
