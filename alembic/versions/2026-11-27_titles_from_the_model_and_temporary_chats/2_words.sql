-- For runnel_search, which cannot read chats.
CREATE FUNCTION is_temporary_chat(wanted uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
  SELECT EXISTS (SELECT FROM chats c WHERE c.id = wanted AND c.is_temporary)
$$;

-- As before, but without words of temporary chats.
CREATE OR REPLACE FUNCTION store_words() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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

-- Stores the words of a temporary chat that becomes an ordinary one.
-- The end of an answer does not lock the chat. It may have seen a temporary chat and not be committed yet: so the locks
-- wait for it, and the second statement sees its text. An answer that ends later waits for the locks, and then sees an
-- ordinary chat.
CREATE FUNCTION store_words_of_kept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM m.id FROM messages m WHERE m.session_id = NEW.session_id AND m.chat_id = NEW.id ORDER BY m.id FOR SHARE;
  INSERT INTO message_words (message_id, session_id, chat_id, position, words)
  SELECT m.id, m.session_id, m.chat_id, m.position, words_of(m.content) FROM messages m
   WHERE m.session_id = NEW.session_id AND m.chat_id = NEW.id AND m.content <> ''
  ON CONFLICT (message_id) DO NOTHING;
  RETURN NULL;
END
$$;
CREATE TRIGGER words_of_kept AFTER UPDATE OF is_temporary ON chats FOR EACH ROW
  WHEN (OLD.is_temporary AND NOT NEW.is_temporary) EXECUTE FUNCTION store_words_of_kept();

-- As before, but without words of temporary chats.
CREATE OR REPLACE FUNCTION fill_words(most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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

REVOKE ALL ON FUNCTION is_temporary_chat, store_words_of_kept FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_temporary_chat TO runnel_search;
