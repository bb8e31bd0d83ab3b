// Package queue runs passes over a work queue: what fails is tried again with a back-off, what waits for a time comes back
// then, and a panic is an error of one object.
package queue
