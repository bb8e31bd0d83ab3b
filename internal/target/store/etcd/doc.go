// Package etcd drives keys of etcd, version 3.4 and later. A setting is a key, its prefix and its name together; the value is
// whatever bytes are stored there, which etcd looks into as little as this package.
//
// # Changes
//
// A change of however many keys is one transaction: all of it is made or nothing. It holds only if no key was written since it was
// looked at just before, so what somebody else writes at the same moment is never lost unseen; the change fails then, and
// nothing was written. It is also why a change that was sent twice is made once.
//
// etcd limits a transaction: 128 keys and 1.5 MiB in all, unless the server is told otherwise (--max-txn-ops,
// --max-request-bytes). How many keys it takes is the server's word; the bytes are counted here, since a value that is too
// large for the default is no setting.
//
// A server whose database is full says so (NOSPACE) of a write that it may have made all the same: that is not a refusal.
//
// A key that has a lease loses it when it is written here: what is wanted is wanted for good.
//
// # Questions beforehand
//
// [store.Checker]'s question is the very transaction without the values and with a condition that never holds. The server checks
// its size and every permission before it looks at conditions, and writes nothing. Which of the keys a user may not write is found
// the same way, by halves; which he may not read, by reading halves.
//
// # Rights
//
// A role with the permission readwrite on the keys, or on a range that holds them, is all that is needed. A watch is of single
// keys, never of a range, which would need a permission on all of it.
//
// # When the server is away
//
// The client library connects again by itself and logs in again when its token has run out. A watch goes on from where it was:
// nothing is missed, or it ends with an error because the server has compacted what was missed.
package etcd
