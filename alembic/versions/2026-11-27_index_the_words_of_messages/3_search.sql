CREATE FUNCTION store_words() RETURNS trigger
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
CREATE TRIGGER words_of_new AFTER INSERT ON messages FOR EACH ROW
  WHEN (NEW.content <> '') EXECUTE FUNCTION store_words();
CREATE TRIGGER words_of_changed AFTER UPDATE OF content ON messages FOR EACH ROW
  WHEN (NEW.content IS DISTINCT FROM OLD.content) EXECUTE FUNCTION store_words();

-- The session's newest messages that match, at most `most` of at most 1,000, with their rank and without their text:
-- the caller reads it, under row-level security. With `only_newest`, only the newest 1,000 messages are searched. Messages
-- of the chats `hidden` count as absent.
-- Row-level security would prevent the use of the index, whose operator @@ is not leakproof.
-- A plan that does not know the words may read all sessions' entries of a prefix, or a whole session.
CREATE FUNCTION find_messages(query tsquery, most integer, only_newest boolean, hidden uuid[])
RETURNS TABLE (message_id uuid, rank real)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off AS $$
#variable_conflict use_column
DECLARE
  asker uuid := current_session_id();
BEGIN
  IF asker IS NULL THEN
    RAISE EXCEPTION 'a search needs a session' USING ERRCODE = 'insufficient_privilege';
  END IF;
  most := least(most, 1000);
  IF only_newest OR NOT EXISTS (
    SELECT FROM message_words w WHERE w.session_id = asker ORDER BY w.position OFFSET 1000 LIMIT 1
  ) THEN
    RETURN QUERY
    WITH newest AS MATERIALIZED (
      SELECT w.message_id, w.position, w.words FROM message_words w
       WHERE w.session_id = asker AND w.chat_id <> ALL (hidden) ORDER BY w.position DESC LIMIT 1000
    )
    SELECT n.message_id, ts_rank(n.words, query) FROM newest n
     WHERE n.words @@ query ORDER BY n.position DESC LIMIT most;
  ELSIF query::text LIKE '%<%' AND querytree(query) <> 'T' THEN  -- it contains a phrase, and not only exclusions
    -- The planner overestimates how often a phrase occurs, and would search from the newest message on without the index.
    RETURN QUERY
    SELECT f.message_id, ts_rank(f.words, query) FROM (
      SELECT w.message_id, w.words FROM message_words w
       WHERE w.session_id = asker AND w.words @@ query AND w.chat_id <> ALL (hidden)
       ORDER BY w.position + 0 DESC LIMIT most) f;
  ELSE
    RETURN QUERY
    SELECT f.message_id, ts_rank(f.words, query) FROM (
      SELECT w.message_id, w.words FROM message_words w
       WHERE w.session_id = asker AND w.words @@ query AND w.chat_id <> ALL (hidden)
       ORDER BY w.position DESC LIMIT most) f;
  END IF;
END
$$;

-- Stores missing words, of the next `most` messages of all sessions by id. Returns how many messages these were: 0 while
-- another process is storing words, NULL if there are no more.
-- It does not wait for messages that are being deleted, but fails: their deletion may wait for it.
CREATE FUNCTION fill_words(most integer) RETURNS integer
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

REVOKE ALL ON FUNCTION words_of, store_words, find_messages, fill_words FROM PUBLIC;
GRANT EXECUTE ON FUNCTION words_of TO runnel_runtime, runnel_search;
GRANT EXECUTE ON FUNCTION find_messages, fill_words TO runnel_runtime;
GRANT CREATE ON SCHEMA public TO runnel_search;
ALTER FUNCTION store_words OWNER TO runnel_search;
ALTER FUNCTION find_messages OWNER TO runnel_search;
REVOKE CREATE ON SCHEMA public FROM runnel_search;
