// Package diagram shows a graph: its resources in layers, each after what it depends on, and which fields of which
// resource every other one reads. The same graph is always shown the same way.
package diagram
