// Package plan decides what happens next, and when, from what is wanted, what was observed and the time.
//
// It holds pure functions only: no client, no clock, no goroutine. Whoever asks brings the time along.
package plan
