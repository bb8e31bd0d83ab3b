// Package demo shows a dialect at work on a control plane of its own, with the manager as a separate process.
//
// For the reload dialect it applies a small application, changes what the application reads, and shows who moves and who
// does not: application.go holds the application, chapter.go tells the story. For the graph dialect it takes
// definitions from examples/graph: graph.go tells how a Secret's new version rolls a Deployment, and hop.go how a value
// that comes late travels through three definitions. For the live dialect it starts three real stores (server.go) and keeps a
// setting of each live: live.go tells how an edit of their Secret arrives in all of them or in none, and freeze.go how
// everything comes back when one of them freezes in the middle.
//
// [Run] is the whole demonstration. observe.go reads what the cluster has, gauge.go what a store has; table.go and trail.go
// judge it, values in and values out; screen.go draws it; ground.go and process.go start and stop the control plane and the
// manager.
package demo
