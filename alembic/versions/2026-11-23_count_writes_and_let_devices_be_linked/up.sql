ALTER TABLE sessions
  ADD COLUMN writes       integer NOT NULL DEFAULT 0,              -- in the minute that began at writes_since
  ADD COLUMN writes_since timestamptz NOT NULL DEFAULT '-infinity';

ALTER TABLE devices
  ADD COLUMN id   uuid NOT NULL DEFAULT gen_random_uuid(),         -- what a form may name: the hash stays inside
  ADD COLUMN name text NOT NULL DEFAULT '' CHECK (char_length(name) <= 100),
  ADD CONSTRAINT devices_of_session UNIQUE (session_id, id);
DROP INDEX devices_by_session;                                     -- the constraint's index does as well

-- A link opens the session on one more device, once and for a short time. Each session has one at most: a new one voids the old.
CREATE TABLE links (
  token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
  session_id uuid NOT NULL CONSTRAINT links_of_session UNIQUE REFERENCES sessions (id) ON DELETE CASCADE,
  expires_at timestamptz NOT NULL
);
ALTER TABLE links ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_session ON links TO runnel_runtime USING (session_id = current_session_id());
CREATE POLICY owner ON links TO CURRENT_USER USING (true);
-- Who brings a link's token may see that link, and use it up.
CREATE POLICY own_token ON links FOR SELECT TO runnel_runtime
  USING (token_hash = decode(nullif(current_setting('app.token_hash', true), ''), 'hex'));
CREATE POLICY use_up ON links FOR DELETE TO runnel_runtime
  USING (token_hash = decode(nullif(current_setting('app.token_hash', true), ''), 'hex'));
GRANT SELECT, INSERT, UPDATE, DELETE ON links TO runnel_runtime;

-- Begins a transaction that writes as this session: with `most` above 0 the write is counted, which also lets writers of one
-- session take turns. Gives the seconds to wait if there were too many in this minute; the caller then rolls back.
CREATE FUNCTION begin_write(writer uuid, most integer) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
  seconds double precision;
BEGIN
  PERFORM set_config('app.session_id', writer::text, true);
  IF most > 0 THEN
    UPDATE sessions s
       SET writes = CASE WHEN s.writes_since < clock_timestamp() - interval '1 minute' THEN 1 ELSE s.writes + 1 END,
           writes_since = CASE WHEN s.writes_since < clock_timestamp() - interval '1 minute' THEN clock_timestamp() ELSE s.writes_since END
     WHERE s.id = writer
    RETURNING CASE WHEN s.writes > most THEN extract(epoch FROM s.writes_since + interval '1 minute' - clock_timestamp()) END INTO seconds;
  END IF;
  RETURN seconds;
END
$$;

-- Answers of this session that run or wait. Who asks holds the session's row, so that of two who ask at once one sees the other's.
CREATE FUNCTION unfinished_answers(asker uuid) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM sessions s WHERE s.id = asker FOR NO KEY UPDATE;
  RETURN (SELECT count(*) FROM generations g WHERE g.session_id = asker AND g.status IN ('queued', 'streaming'));
END
$$;
REVOKE ALL ON FUNCTION begin_write, unfinished_answers FROM PUBLIC;
GRANT EXECUTE ON FUNCTION begin_write, unfinished_answers TO runnel_runtime;
