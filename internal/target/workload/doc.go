// Package workload knows the kinds that run pods: how each is listed, where its pod template is, and how a
// change is carried to it.
//
// A kind is an [Adapter] and one line in [Adapters]. What is kept of a workload between events is an
// [Observed]; what is to be written is a [Change]. Both are plain values, so that the decision between them
// needs no cluster.
package workload
