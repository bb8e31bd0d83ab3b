// Package apply names the owner of every write to a workload, so that in whose name something was written is
// decided in one place.
package apply
