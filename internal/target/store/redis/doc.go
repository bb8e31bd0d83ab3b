// Package redis drives Redis and Valkey from version 6.0 on: parameters by CONFIG GET and CONFIG SET, passwords by ACL GETUSER
// and ACL SETUSER. Every endpoint is a node with settings of its own. Sentinel has other commands and is turned away.
//
// # Parameters
//
// From 7.0 on all parameters of a change are one CONFIG SET, which the server makes as a whole or not at all. Before, each
// is a command of its own. A server has no schema to ask, so two things stand in for it:
//
//   - what is known here of the forms of Redis 7.0's parameters: whether two texts are one value (1gb is 1073741824), and
//     what is accepted. Newer servers accept more, so for them only the kind of value is looked at beforehand, and a
//     parameter that is not known here takes any text.
//   - two questions to the server itself, both commands that must fail. CONFIG SET with a second parameter that there is
//     not tells whether the first can be set at all, and looks at no value. [store.Checker]'s question is a CONFIG SET of all that is to
//     be changed and, last, a log level that there is not. The server tries the parameters one after the other, fails
//     at the last, and takes all of them back within the same command, during which it serves nobody else; what follows
//     from a parameter, such as a new port, comes only after all were accepted. So the second question is asked from 7.0 on, and
//     not for parameters that can lock people out or that belong to modules. Each question counts as one failed command in
//     the server's statistics.
//
// Some values the server takes and silently makes others: hz 0 becomes 1, 99999999999999gb becomes what is left of it. These are
// refused here.
//
// # Passwords
//
// A user's passwords are read and written as SHA-256 digests: a clear password is never sent but to log in. Users are not made
// here, and all their other rules stay. With Keep the digest is added, without it replaces all others. What is stored is the sorted
// list of digests, or "nopass".
//
// # Persistence
//
// With [store.Target.Persist] a change ends with CONFIG REWRITE, or ACL SAVE where the server has a file of users. A session's
// first change begins with it too: a server that cannot keep anything is found out before anything is changed.
//
// # Rights
//
// [Rights] says what a user needs. CONFIG SET cannot be granted by parameter, so whoever may set maxmemory could set
// requirepass: the limits are those of the LiveStore.
package redis
