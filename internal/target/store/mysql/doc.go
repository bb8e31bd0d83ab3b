// Package mysql drives MariaDB and MySQL: system variables by SET GLOBAL, passwords by ALTER USER. Every endpoint is a
// node with settings of its own.
//
// What is said here of MariaDB is tested on 10.11. What is said of MySQL, from 8.0.14 on, is written from its manual and was
// never run: where these tests run there is no MySQL.
//
// # Variables
//
// A setting is a global variable: what every new session gets, and what sessions that are open see only where a variable has no value
// of theirs. MariaDB has a schema of its variables; a text is checked against it, and one text means one thing:
//
//   - Numbers may have a unit as in option files, 64M, which SET GLOBAL would not take. Of a number that is out of range the server
//     makes one that is not, with a warning that nobody sees, and it rounds to multiples of a block size. Both are refused here and,
//     since our sessions are strict, by the server.
//   - Words are the same in upper and lower case, sets in any order. Of optimizer_switch only the switches that are named
//     are changed, and compared.
//   - Text that the server would change silently, such as emoji, is refused.
//
// Neither make knows whether a value that equals the default was set to it. So what is stored is the value, and nothing
// counts as not set; to unset a variable sets it to the default that is compiled in, which need not be that of the option file. MySQL
// that keeps settings (see below) knows what it keeps.
//
// All variables of a change are one SET. The server looks at all assignments before it makes the first. [store.Checker]'s question
// uses this: it is the same SET with one more assignment that no server can make, so that everything is looked at, by
// this server and for this user, and nothing is done. What fails only when it is done, such as memory that is not there, leaves the
// assignments before it in force; the caller reads back.
//
// # Persistence
//
// MariaDB cannot keep what is set: after a restart it has the values of its option files. A target that asks for it is refused
// when it is opened. MySQL has SET PERSIST, and SET PERSIST_ONLY for variables that it reads only when it starts.
//
// # Passwords
//
// A role is an account: "app" is app@%, the account for every host. Accounts are not made here, and nothing but the ways to log
// in changes.
//
// MariaDB is sent the verifier, which is made here; the password itself is never part of a statement, since the server writes
// statements to its logs. With Keep the former password is a second way to log in (IDENTIFIED VIA … OR …) until it is
// retired. There are never more than two: drivers such as the one for Go fail at the third. Ways without a password, such as
// unix_socket, stay. A user who may not read mysql.global_priv cannot tell what is stored, and cannot keep the former password.
//
// MySQL makes verifiers itself, so it is sent the password, which needs TLS; it keeps the former one with RETAIN CURRENT
// PASSWORD.
//
// # Rights
//
// [Grants] says what a user needs.
package mysql
