-- The old index had one entry for a word of all sessions. A search for a prefix read all entries that begin with it, so
-- its time told how many such words other sessions have. An entry now begins with the session's id.
--
-- The index is built on an empty table, because building it would block new messages for minutes. The indexer of dbapi
-- then stores all words again, and searches find older messages as it gets to them.
DROP INDEX message_words_found;
TRUNCATE message_words;
DELETE FROM message_words_progress;

-- Its result is at most 1 MB: 40,000 words with 13 bytes more each, and at most 400 KB of text (see words_of). A word has
-- at most 2,046 bytes.
CREATE FUNCTION words_in_session(session_id uuid, words tsvector) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1000 RETURN
  array_to_tsvector(ARRAY(
    SELECT left(session_id::text, 13) || word FROM unnest(tsvector_to_array(words)) AS word
     WHERE octet_length(word) <= 2000 LIMIT 40000));

-- New entries are collected, which makes an answer cheaper. The list of them is small, because every search reads it, and
-- the writer that fills it merges it.
CREATE INDEX message_words_found ON message_words USING gin (words_in_session(session_id, words))
  WITH (gin_pending_list_limit = 256);

CREATE OR REPLACE FUNCTION find_messages(query tsquery, most integer, only_newest boolean, hidden uuid[])
RETURNS TABLE (message_id uuid, rank real)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off AS $$
#variable_conflict use_column
DECLARE
  asker uuid := current_session_id();
  required text := querytree(query);  -- without exclusions; T if nothing else is left
  is_exact boolean := required = query::text;
  in_session tsquery;  -- its words as they are in the index, in any order
BEGIN
  IF asker IS NULL THEN
    RAISE EXCEPTION 'a search needs a session' USING ERRCODE = 'insufficient_privilege';
  END IF;
  most := least(most, 1000);
  IF required NOT IN ('', 'T') AND NOT EXISTS (
    SELECT FROM regexp_matches(required, '''([^'']+)''', 'g') AS word WHERE octet_length(word[1]) > 2000
  ) THEN
    in_session := regexp_replace(
      regexp_replace(required, '<(-|\d+)>', '&', 'g'), '''([^'']+)''', '''' || left(asker::text, 13) || '\1''', 'g');
  END IF;
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
  ELSIF in_session IS NULL THEN
    RETURN QUERY
    SELECT f.message_id, ts_rank(f.words, query) FROM (
      SELECT w.message_id, w.words FROM message_words w
       WHERE w.session_id = asker AND w.words @@ query AND w.chat_id <> ALL (hidden)
       ORDER BY w.position DESC LIMIT most) f;
  ELSIF required LIKE '%<%' THEN
    -- The planner overestimates how often a phrase occurs, and would search from the newest message on without the index.
    RETURN QUERY
    SELECT f.message_id, ts_rank(f.words, query) FROM (
      SELECT w.message_id, w.words FROM message_words w
       WHERE w.session_id = asker AND words_in_session(w.session_id, w.words) @@ in_session AND w.words @@ query
         AND w.chat_id <> ALL (hidden)
       ORDER BY w.position + 0 DESC LIMIT most) f;
  ELSE
    -- coalesce hides that both conditions mean the same. The planner would expect too few messages.
    RETURN QUERY
    SELECT f.message_id, ts_rank(f.words, query) FROM (
      SELECT w.message_id, w.words FROM message_words w
       WHERE w.session_id = asker AND words_in_session(w.session_id, w.words) @@ in_session
         AND (is_exact OR coalesce(w.words @@ query, false)) AND w.chat_id <> ALL (hidden)
       ORDER BY w.position DESC LIMIT most) f;
  END IF;
END
$$;

REVOKE ALL ON FUNCTION words_in_session FROM PUBLIC;
GRANT EXECUTE ON FUNCTION words_in_session TO runnel_search;
