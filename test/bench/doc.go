// Command bench measures how fast, at what cost and how faithfully a controller carries a change of a
// ConfigMap or a Secret to the workloads that read it, and how one serves resource graphs.
//
// It starts control planes of its own, creates workloads or definitions, runs Lockstep as a separate process and
// watches what comes of it. With -against any other controller that serves the same API is measured in the same run:
// the controllers take turns and never run at the same time. Numbers are compared inside one run only, with each
// other and with what the same work takes when the benchmark does it by hand.
//
// It is a program and not a test: it ends with 0 whatever it measured, unless -check is given.
// docs/reference/benchmarks.md says what each number means.
package main
