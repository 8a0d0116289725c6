CREATE TABLE sessions (
  id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A device is one browser's cookie. Only the hash of its token is kept.
CREATE TABLE devices (
  token_hash   bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
  session_id   uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  revoked_at   timestamptz
);
CREATE INDEX devices_by_session ON devices (session_id);

CREATE TABLE chats (
  id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id    uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  username      text NOT NULL CHECK (char_length(username) BETWEEN 1 AND 100),
  title         text CHECK (char_length(title) <= 200),
  model         text,
  system_prompt text NOT NULL DEFAULT '',
  parameters    jsonb NOT NULL DEFAULT '{}',
  tip_id        uuid,                                   -- last message of the branch that is shown
  pinned_at     timestamptz,
  archived_at   timestamptz,
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT chats_of_session UNIQUE (session_id, id)
);
CREATE INDEX chats_latest ON chats (session_id, updated_at DESC);

-- The parent link makes a chat a tree; a chat shows the one branch that ends in its tip.
CREATE TABLE messages (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id uuid NOT NULL,
  chat_id    uuid NOT NULL,
  parent_id  uuid,
  role       text NOT NULL CHECK (role IN ('user', 'assistant')),
  content    text NOT NULL DEFAULT '',
  reasoning  text NOT NULL DEFAULT '',
  status     text NOT NULL DEFAULT 'complete' CHECK (status IN ('queued', 'streaming', 'complete', 'stopped', 'failed')),
  error      text,                                      -- a sentence for the user
  model      text,
  usage      jsonb,
  timings    jsonb,
  position   bigint GENERATED ALWAYS AS IDENTITY,       -- order in time, whatever the clocks say
  turn_key   bytea,                                     -- hash of the client's id and the content: one turn, however often it is sent
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT messages_of_chat UNIQUE (session_id, chat_id, id),
  CONSTRAINT messages_chat FOREIGN KEY (session_id, chat_id) REFERENCES chats (session_id, id) ON DELETE CASCADE,
  CONSTRAINT messages_parent FOREIGN KEY (session_id, chat_id, parent_id) REFERENCES messages (session_id, chat_id, id) ON DELETE CASCADE,
  CONSTRAINT messages_turn UNIQUE (session_id, chat_id, turn_key)
);
CREATE INDEX messages_by_parent ON messages (parent_id, chat_id, session_id);
ALTER TABLE chats ADD CONSTRAINT chats_tip
  FOREIGN KEY (session_id, id, tip_id) REFERENCES messages (session_id, chat_id, id) ON DELETE SET NULL (tip_id);

-- How an answer comes to be: one row per assistant message, for ever. No index may contain a column that
-- an append changes (last_seq, lease_until, upstream_offset): that keeps every append a heap-only update.
CREATE TABLE generations (
  id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id      uuid NOT NULL,
  chat_id         uuid NOT NULL,
  message_id      uuid NOT NULL CONSTRAINT generations_of_message UNIQUE,
  status          text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'streaming', 'complete', 'stopped', 'failed')),
  fence           integer NOT NULL DEFAULT 0,           -- +1 at every claim, never otherwise
  owner           text,                                 -- for people only, never trusted
  lease_until     timestamptz,                          -- by the database's clock only
  last_seq        integer NOT NULL DEFAULT 0,           -- the log has chunks 1..last_seq
  upstream_key    text,                                 -- the model server's name for the running request
  upstream_offset bigint NOT NULL DEFAULT 0,            -- bytes of its stream that are in the log
  stop_requested  boolean NOT NULL DEFAULT false,
  attempts        integer NOT NULL DEFAULT 0,           -- claims in a row without progress
  claim_seq       integer NOT NULL DEFAULT 0,           -- last_seq when it was last claimed
  request         jsonb NOT NULL DEFAULT '{}',          -- parameters, frozen when asked; the prompt is the branch
  finish_reason   text,
  queued_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at      timestamptz,
  finished_at     timestamptz,
  CONSTRAINT generations_message FOREIGN KEY (session_id, chat_id, message_id)
    REFERENCES messages (session_id, chat_id, id) ON DELETE CASCADE
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE UNIQUE INDEX generations_one_per_chat ON generations (chat_id) WHERE status = 'streaming';
CREATE INDEX generations_waiting ON generations (queued_at) WHERE status IN ('queued', 'streaming');
CREATE INDEX generations_finished ON generations (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE generation_chunks (
  generation_id uuid NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  session_id    uuid NOT NULL,
  seq           integer NOT NULL,
  fence         integer NOT NULL,
  kind          smallint NOT NULL DEFAULT 0,            -- 0 content, 1 reasoning, 2 begin anew: what came before is void
  text          text NOT NULL,
  PRIMARY KEY (generation_id, seq)
);
