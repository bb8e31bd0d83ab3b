// Package crd makes the CustomResourceDefinition of a definition's instances, says what a new one would break, and
// brings an existing one up to date.
package crd
