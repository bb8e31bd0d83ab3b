// Command bench measures how fast, at what cost and how faithfully a controller carries a change of a
// ConfigMap or a Secret to the workloads that read it.
//
// It starts a control plane of its own, creates workloads, runs `lockstep manager` as a separate process and
// watches the pod templates. With -against any other controller that honours the same annotations is measured on
// the same plane in the same run: the controllers take turns and never run at the same time. Numbers are compared
// inside one run only, with each other and with the raw limit: what the API server takes when the benchmark sends
// the patches itself.
//
// It is a program and not a test: it ends with 0 whatever it measured, unless -check is given.
// docs/reference/benchmarks.md says what each number means.
package main
