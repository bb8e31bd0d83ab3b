// Package expect holds the verbs of tests that wait for a cluster. They wait by watching, so they return in the
// moment in which what they wait for happens.
package expect
