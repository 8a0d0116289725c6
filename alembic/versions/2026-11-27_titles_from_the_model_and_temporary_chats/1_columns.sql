-- Where the title comes from: the first words, then 'requested' while the model may be writing one, then 'model'; or the
-- user. NULL: there is no title yet, or it is older than this column. A request is made for 'words' only, and nothing
-- leads back to it, so there is at most one a chat.
ALTER TABLE chats ADD COLUMN title_from text CHECK (title_from IN ('words', 'requested', 'model', 'user'));

-- A temporary chat is in no list and in no search. `left_at` is when its page was left, until it is opened again.
ALTER TABLE chats ADD COLUMN is_temporary boolean NOT NULL DEFAULT false;
ALTER TABLE chats ADD COLUMN left_at timestamptz;

-- As before, but silent about a request for a title, of which no page shows anything.
CREATE OR REPLACE FUNCTION announce_chat() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF OLD.title_from = 'words' AND NEW.title_from = 'requested' THEN
      RETURN NEW;
    END IF;
    NEW.revision := OLD.revision + 1;
  END IF;
  PERFORM pg_notify('runnel_chats', NEW.session_id || ':' || NEW.id || ':' || NEW.revision);
  RETURN NEW;
END
$$;
