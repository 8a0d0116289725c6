-- Removes temporary chats that were left longer than `gone` ago, or not used for `unused`: at least 30 seconds and an
-- hour, whatever the caller asks for. An answer that is being written ends first. Returns how many.
CREATE FUNCTION purge_temporary_chats(gone interval, unused interval, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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
REVOKE ALL ON FUNCTION purge_temporary_chats FROM PUBLIC;
GRANT EXECUTE ON FUNCTION purge_temporary_chats TO runnel_runtime;
