// Package postgres is the driver of PostgreSQL, from version 11 on; what it does is tested on 15.
//
// A setting with neither database nor role is one of the whole server: ALTER SYSTEM, and one reload that puts all of
// them into force together. With a database, a role or both it is ALTER DATABASE and ALTER ROLE, in one transaction, and
// holds for sessions that begin later. A password reaches the server as a SCRAM-SHA-256 verifier, never in clear: the
// server may log the statement.
//
// A session is one connection that lives long, used by one call at a time. It has to reach the server itself, not a
// pool of connections that hands out another one for each transaction.
//
// What the user of the session needs is what [Grants] says; nothing else.
package postgres
