// Package faults stands between a client and an API server. It makes requests fail in the ways in which they fail in
// a cluster (errors, delays, lost connections, lost answers, watches cut short) and writes down which were made, so
// that a test can also say that there were none.
package faults
