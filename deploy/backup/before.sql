-- A backup of Runnel. Restore it with deploy/backup/restore.sh < FILE, or gunzip < FILE | psql --set=ON_ERROR_STOP=1
BEGIN;
SET LOCAL lock_timeout = '10s';

-- Existing data is replaced only if runnel.replace is set. What dbapi derives from messages does not count.
DO $$
DECLARE
  name regclass;
  has_rows boolean;
BEGIN
  FOR name IN SELECT oid FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                 AND relname NOT IN ('alembic_version', 'message_words', 'message_words_progress') LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', name) INTO has_rows;
    IF has_rows AND current_setting('runnel.replace', true) IS DISTINCT FROM 'yes' THEN
      RAISE EXCEPTION 'the table % is not empty; set REPLACE=yes to replace existing data', name;
    END IF;
  END LOOP;
END
$$;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
COMMENT ON SCHEMA public IS 'standard public schema';
GRANT USAGE ON SCHEMA public TO PUBLIC;

-- Roles belong to the server, not to the database, so a dump does not contain them.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['runnel_runtime', 'runnel_log', 'runnel_search'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', name);
    END IF;
    IF name <> 'runnel_runtime' AND NOT pg_has_role(name, 'USAGE') THEN
      EXECUTE format('GRANT %I TO %I', name, current_user);
    END IF;
  END LOOP;
END
$$;
GRANT CREATE ON SCHEMA public TO runnel_log, runnel_search;  -- the new owner of a function needs CREATE on its schema

-- Called at the end for each table: raises an error if a row is missing or different.
CREATE FUNCTION pg_temp.expect(name text, hash text, expected_rows bigint, expected_sum numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  found_rows bigint;
  found_sum numeric;
BEGIN
  EXECUTE format('SELECT count(*), coalesce(sum(%s), 0) FROM public.%I', hash, name) INTO found_rows, found_sum;
  IF (found_rows, found_sum) IS DISTINCT FROM (expected_rows, expected_sum) THEN
    RAISE EXCEPTION '% has % rows with the sum %, but should have % with %', name, found_rows, found_sum, expected_rows, expected_sum;
  END IF;
END
$$;
