// Package apply names the owner of every write to a workload or another object, so that in whose name something was
// written is decided in one place, and says whether a write is needed at all: not as long as the live object carries
// what is desired.
package apply
