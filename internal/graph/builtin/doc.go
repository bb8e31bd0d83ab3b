// Package builtin knows the kinds of a cluster that is not there: those that every API server serves, from its embedded
// OpenAPI documents, and those of given CustomResourceDefinitions.
//
// The embedded schemas are written by hack/openapi, which asks a local control plane for them.
package builtin
