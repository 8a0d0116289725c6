CREATE EXTENSION IF NOT EXISTS unaccent WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA public;

-- No stemming and no stop words: messages have any language. Prefixes do that work.
CREATE TEXT SEARCH CONFIGURATION runnel (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION runnel
  ALTER MAPPING FOR asciiword, word, numword, asciihword, hword, numhword, hword_asciipart, hword_part, hword_numpart
  WITH unaccent, simple;

-- The words of a text. dbapi/search_query.py has the same rules for queries. From the inside out: a tsvector has at most
-- 1 MB; lower() keeps the final sigma; diacritics, vowel points and invisible characters are ignored; ASCII punctuation is
-- no part of a word, so that a path or a version is several; scripts without spaces have a word for each character.
CREATE FUNCTION words_of(content text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  to_tsvector('public.runnel'::regconfig,
    regexp_replace(
      regexp_replace(
        regexp_replace(
          replace(left(content, 100000), 'ς', 'σ'),
          '[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]+',
          '', 'g'),
        '[!-/:-@\[-`{-~]+', ' ', 'g'),
      '([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff])',
      ' \1 ', 'g'));

-- Derived from messages, so backups leave it out. Beside them, because most readers of messages need no words.
CREATE TABLE message_words (
  message_id uuid PRIMARY KEY,
  session_id uuid NOT NULL,
  chat_id    uuid NOT NULL,
  position   bigint NOT NULL,
  words      tsvector NOT NULL,
  CONSTRAINT message_words_message FOREIGN KEY (session_id, chat_id, message_id)
    REFERENCES messages (session_id, chat_id, id) ON DELETE CASCADE
);
-- New entries are collected, which makes an answer cheaper. The list of them is small, because every search reads it, and
-- the writer that fills it merges it.
CREATE INDEX message_words_found ON message_words USING gin (session_id, words) WITH (gin_pending_list_limit = 256);
CREATE INDEX message_words_newest ON message_words (session_id, position);

-- Messages with an id up to this one have their words, or no text. Without a row: none of those that are older than the
-- triggers below. `fill_words` continues from here.
CREATE TABLE message_words_progress (
  one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
  up_to   uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);

ALTER TABLE message_words ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON message_words TO CURRENT_USER USING (true);
CREATE POLICY search ON message_words TO runnel_search USING (true);
GRANT SELECT, INSERT, UPDATE (words), DELETE ON message_words TO runnel_search;
ALTER TABLE message_words_progress ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON message_words_progress TO CURRENT_USER USING (true);
