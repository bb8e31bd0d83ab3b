CREATE ROLE lockstep LOGIN PASSWORD 'change-me';
GRANT ALTER SYSTEM ON PARAMETER work_mem TO lockstep;
GRANT EXECUTE ON FUNCTION pg_reload_conf() TO lockstep;
GRANT SELECT ON pg_file_settings TO lockstep;
GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO lockstep;
