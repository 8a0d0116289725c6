-- How often the chat was changed. A page that shows an earlier revision is out of date.
ALTER TABLE chats ADD COLUMN revision integer NOT NULL DEFAULT 0;

-- Payload: session, chat, revision. Without a revision, only the list of chats has changed.
CREATE FUNCTION announce_chat() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    NEW.revision := OLD.revision + 1;
  END IF;
  PERFORM pg_notify('runnel_chats', NEW.session_id || ':' || NEW.id || ':' || NEW.revision);
  RETURN NEW;
END
$$;
CREATE TRIGGER announce BEFORE INSERT OR UPDATE ON chats FOR EACH ROW EXECUTE FUNCTION announce_chat();

-- The list of chats shows where an answer is being written.
CREATE FUNCTION announce_end() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM pg_notify('runnel_chats', NEW.session_id || ':' || NEW.chat_id || ':');
  RETURN NULL;
END
$$;
CREATE TRIGGER announce_end AFTER UPDATE OF status ON generations FOR EACH ROW
  WHEN (OLD.status IN ('queued', 'streaming') AND NEW.status NOT IN ('queued', 'streaming')) EXECUTE FUNCTION announce_end();
