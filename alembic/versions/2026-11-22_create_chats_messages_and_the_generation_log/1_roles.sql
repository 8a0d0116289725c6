-- runnel_runtime: what a runtime login (runnel_app) is a member of. Sees one session at a time.
-- runnel_log:     owns the functions of the generation log, nobody logs in as it.
-- Roles belong to the cluster, not to this database: they may exist already, and a downgrade leaves them.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['runnel_runtime', 'runnel_log'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', name);
      EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;  -- another database's migration was faster
        WHEN insufficient_privilege THEN
          RAISE EXCEPTION 'the owner % may not create roles', current_user
            USING HINT = 'Let an administrator run: CREATE ROLE runnel_runtime NOLOGIN; CREATE ROLE runnel_log NOLOGIN; GRANT runnel_log TO '
                         || quote_ident(current_user) || ';';
      END;
    END IF;
  END LOOP;
  -- To give functions to runnel_log, the owner must be able to become it (who creates a role may grant it, no more).
  BEGIN
    EXECUTE format('GRANT runnel_log TO %I', current_user);
  EXCEPTION
    WHEN insufficient_privilege THEN NULL;  -- an administrator granted it, or the next script says what is missing
  END;
END
$$;
