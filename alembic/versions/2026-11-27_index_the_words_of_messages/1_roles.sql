-- runnel_search owns the functions that store and find words. Nobody logs in as it, and it cannot read messages.
-- Roles belong to the cluster, not to this database: it may exist already, and a downgrade leaves it.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'runnel_search') THEN
    BEGIN
      CREATE ROLE runnel_search NOLOGIN;
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN NULL;  -- another database's migration was faster
      WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the owner % may not create roles', current_user
          USING HINT = 'Let an administrator run: CREATE ROLE runnel_search NOLOGIN; GRANT runnel_search TO '
                       || quote_ident(current_user) || ';';
    END;
  END IF;
  -- To give functions to runnel_search, the owner must be able to become it.
  BEGIN
    EXECUTE format('GRANT runnel_search TO %I', current_user);
  EXCEPTION
    WHEN insufficient_privilege THEN NULL;  -- an administrator granted it, or the next script says what is missing
  END;
END
$$;
