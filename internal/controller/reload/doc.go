// Package reload carries a change of a ConfigMap, a Secret or a mounted SecretProviderClass to the workloads
// that read it, by a change of their pod template.
//
// The parts: [Controller] wires them; watches.go says what is watched; state.go holds what is known and what
// still has to be carried; decide.go is the decision, values in and values out; reconcile.go makes one pass
// over one workload; baseline.go is the durable record by which changes made while no manager ran are found.
package reload
