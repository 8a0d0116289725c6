CREATE OR REPLACE FUNCTION announce_chat() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    NEW.revision := OLD.revision + 1;
  END IF;
  PERFORM pg_notify('runnel_chats', NEW.session_id || ':' || NEW.id || ':' || NEW.revision);
  RETURN NEW;
END
$$;
DROP INDEX chats_archived, chats_pinned;
ALTER TABLE chats DROP COLUMN seen_at;
