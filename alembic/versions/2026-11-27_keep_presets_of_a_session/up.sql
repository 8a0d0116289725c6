CREATE TABLE presets (
  id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id    uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  name          text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
  model         text,
  system_prompt text NOT NULL DEFAULT '',
  parameters    jsonb NOT NULL DEFAULT '{}',
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT presets_of_session UNIQUE (session_id, name)
);
ALTER TABLE presets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_session ON presets TO runnel_runtime USING (session_id = current_session_id());
CREATE POLICY owner ON presets TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON presets TO runnel_runtime;
