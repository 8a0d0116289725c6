-- Three kinds of reader: the runtime sees the session its transaction named, the log's functions see what
-- they work on, and the owner (migrations, pg_dump) sees everything in spite of FORCE.
CREATE FUNCTION current_session_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  RETURN nullif(current_setting('app.session_id', true), '')::uuid;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['sessions', 'devices', 'chats', 'messages', 'generations', 'generation_chunks'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY own_session ON %I TO runnel_runtime USING (%I = current_session_id())',
                   name, CASE name WHEN 'sessions' THEN 'id' ELSE 'session_id' END);
    EXECUTE format('CREATE POLICY owner ON %I TO CURRENT_USER USING (true)', name);
  END LOOP;
END
$$;

-- Who brings a device's token may see that device, and so learn its session.
CREATE POLICY own_token ON devices FOR SELECT TO runnel_runtime
  USING (token_hash = decode(nullif(current_setting('app.token_hash', true), ''), 'hex'));

GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, devices, chats, messages TO runnel_runtime;
GRANT SELECT, INSERT, DELETE ON generations TO runnel_runtime;
GRANT UPDATE (status, stop_requested, queued_at, finished_at, request) ON generations TO runnel_runtime;
GRANT SELECT ON generation_chunks, alembic_version TO runnel_runtime;

-- The log crosses sessions by nature. It gets at answers that are being written and nothing else.
CREATE POLICY log ON generations TO runnel_log USING (true);
CREATE POLICY log ON generation_chunks TO runnel_log USING (true);
CREATE POLICY log ON messages FOR UPDATE TO runnel_log USING (role = 'assistant' AND status IN ('queued', 'streaming')) WITH CHECK (true);
CREATE POLICY log_read ON messages FOR SELECT TO runnel_log USING (role = 'assistant');
GRANT SELECT, UPDATE ON generations TO runnel_log;
GRANT SELECT, INSERT, DELETE ON generation_chunks TO runnel_log;
GRANT SELECT (id, role, status), UPDATE (content, reasoning, status, error, usage, timings) ON messages TO runnel_log;
