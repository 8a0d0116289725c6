-- Without the column, temporary chats would be in every list.
DELETE FROM chats WHERE is_temporary;

DROP FUNCTION purge_temporary_chats;
DROP TRIGGER words_of_kept ON chats;

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
     FOR KEY SHARE OF m NOWAIT
  ON CONFLICT (message_id) DO NOTHING;
  UPDATE message_words_progress SET up_to = coalesce(page[cardinality(page)], last_id);
  RETURN nullif(cardinality(page), 0);
END
$$;

CREATE OR REPLACE FUNCTION store_words() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF NEW.content = '' THEN
    DELETE FROM message_words w WHERE w.message_id = NEW.id;
  ELSE
    INSERT INTO message_words (message_id, session_id, chat_id, position, words)
    VALUES (NEW.id, NEW.session_id, NEW.chat_id, NEW.position, words_of(NEW.content))
    ON CONFLICT (message_id) DO UPDATE SET words = excluded.words;
  END IF;
  RETURN NULL;
END
$$;
DROP FUNCTION store_words_of_kept, is_temporary_chat;

DROP TRIGGER announce ON chats;
DROP TRIGGER announce_new ON chats;
CREATE TRIGGER announce BEFORE INSERT OR UPDATE ON chats FOR EACH ROW EXECUTE FUNCTION announce_chat();

DROP TRIGGER title_of_user ON chats;
DROP FUNCTION mark_title_of_user;

ALTER TABLE chats DROP COLUMN title_from, DROP COLUMN is_temporary, DROP COLUMN left_at, DROP COLUMN left_by;
