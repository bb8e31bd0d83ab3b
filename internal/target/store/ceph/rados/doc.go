// Package rados talks to the monitors of a Ceph cluster through librados, the C library of Ceph's own clients. The
// library is opened when it is first needed, by dlopen without cgo: a program that never talks to Ceph runs where
// librados is not installed.
//
// There is a price: a program for Linux that has this package in it is linked dynamically against the system's C
// library, even with CGO_ENABLED=0, so it does not run in an image that has none. The build tag noceph leaves the
// binding out; what is built with it, or for another system than Linux, has the same functions, which answer with
// [ErrNotBuilt].
//
// Only what the configuration database needs is bound: a connection, a command to the monitors, and one to a certain
// monitor. No ceph.conf, keyring or log is read or written, and no text of a command ever becomes a process argument.
package rados
