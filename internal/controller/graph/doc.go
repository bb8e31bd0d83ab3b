// Package graph is the controller of the graph dialect. One half turns every ResourceGraphDefinition into a compiled
// graph, a kind of its own and an informer for the instances of that kind; the other half walks the graph for every
// instance: it makes what the definition says, reads back what the cluster made of it, and reports.
//
// Both halves wait by watching. A pass that finds nothing to do sends no request.
package graph
