// Package e2e tests the built command as a process: what a kill, a signal, the environment, a role or a port shows,
// and no test inside one process can. What is carried to which kind of workload by which rule is tested next to the
// controller.
package e2e
