// Package live knows what it means to keep settings live in a running store: what a setting and its state are, what
// is to be changed, in which order, and how to come back. It is values in, values out: it asks no store and writes
// nothing.
package live
