-- PostgreSQL 15 or later. The user may set these three parameters, and see whether that worked.
CREATE ROLE lockstep LOGIN PASSWORD 'change-me';
GRANT ALTER SYSTEM ON PARAMETER work_mem TO lockstep;
GRANT ALTER SYSTEM ON PARAMETER log_min_duration_statement TO lockstep;
GRANT ALTER SYSTEM ON PARAMETER idle_in_transaction_session_timeout TO lockstep;
GRANT EXECUTE ON FUNCTION pg_reload_conf() TO lockstep;
GRANT SELECT ON pg_file_settings TO lockstep;
GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO lockstep;
