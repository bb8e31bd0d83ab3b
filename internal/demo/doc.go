// Package demo shows the reload dialect at work: on a control plane of its own it applies a small application, runs
// the manager as a separate process, changes what the application reads, and shows who moves and who does not.
//
// [Run] is the whole demonstration. application.go holds the application; observe.go reads what the cluster has;
// table.go judges it, values in and values out; screen.go draws it; ground.go and process.go start and stop the
// control plane and the manager; chapter.go tells the story.
package demo
