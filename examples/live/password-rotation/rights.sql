-- Two roles that take turns, so that clients with the former one go on until they have the new one.
CREATE ROLE app_a LOGIN PASSWORD 'first';
CREATE ROLE app_b LOGIN;
-- Whoever changes passwords of others needs CREATEROLE, which cannot touch superusers.
CREATE ROLE lockstep LOGIN CREATEROLE PASSWORD 'change-me';
