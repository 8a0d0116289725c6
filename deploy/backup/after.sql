REVOKE CREATE ON SCHEMA public FROM runnel_log, runnel_search;
COMMIT;
\echo restored
