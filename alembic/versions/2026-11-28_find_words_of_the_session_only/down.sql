CREATE OR REPLACE FUNCTION find_messages(query tsquery, most integer, only_newest boolean, hidden uuid[])
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

DROP INDEX message_words_found;
DROP FUNCTION words_in_session;
TRUNCATE message_words;
DELETE FROM message_words_progress;
CREATE INDEX message_words_found ON message_words USING gin (session_id, words) WITH (gin_pending_list_limit = 256);
