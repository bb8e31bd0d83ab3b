// Package ceph drives the configuration database of Ceph's monitors.
//
// One session is with all monitors. What is stored is read from one `config dump`, which callers at the same time share,
// and what an option accepts is learnt from `config help`; both are the monitors' own. Writes are `config set` and
// `config rm`, one for each change in its order, and nothing else: there is neither a compare-and-set nor a write of
// several options at once. `config assimilate-conf` is never used, because it loses values and can end a monitor; nor is
// the ceph command, which shows values in its arguments.
//
// # Rights
//
// [Caps] renders what a session needs and no more. Every session needs `config dump`, which shows all that is stored,
// also the secrets of others: Ceph cannot narrow it. `mon dump`, `config diff` and `sessions` are optional: with them the
// running monitors are asked too, which finds what a configuration file, an argument or an override outranks, and which
// daemons still run with what they have read when they started.
//
// # Endpoints
//
// An endpoint is an address as mon_host has it. Port 3300 is of protocol v2 and 6789 of v1 by Ceph's own rule; with
// any other port librados tries v2 and then v1. [v2:10.0.0.5:13300/0] leaves nothing to guess.
package ceph
