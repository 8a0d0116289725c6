REVOKE CREATE ON SCHEMA public FROM runnel_log;
COMMIT;
\echo restored
