-- The end of the newest answer that the session has seen: an answer at the end of the chat that ended later is unread.
-- All answers that exist now count as seen. A default that is not volatile leaves the rows of the table as they are.
ALTER TABLE chats ADD COLUMN seen_at timestamptz NOT NULL DEFAULT now();

-- Both are small parts of a session's chats. For all others there is chats_latest.
CREATE INDEX chats_pinned ON chats (session_id, updated_at DESC) WHERE pinned_at IS NOT NULL;
CREATE INDEX chats_archived ON chats (session_id, updated_at DESC) WHERE archived_at IS NOT NULL;

-- Payload: session, chat, revision. Without a revision, only the list of chats has changed: seeing a chat does not
-- change it. Nothing else is updated together with seen_at.
CREATE OR REPLACE FUNCTION announce_chat() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
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
