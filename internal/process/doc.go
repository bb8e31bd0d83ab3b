// Package process runs other programs as children that end with us, in whatever way we end: a local control plane and
// the stores for tests and demonstrations. It writes what they say to a log each, tells how they ended and with which
// last words, and can pause and kill them together with the processes that they have started themselves.
package process
