// Package graph is the core of the graph dialect: it compiles a resource graph definition against the schemas of the
// kinds that it uses, and walks the compiled graph for one instance, deciding what to make and what to wait for. It
// sees values only: no client, no clock, no goroutine.
package graph
