// Package conditions makes the conditions of an object anew in each pass: those that did not change keep their time, and
// Ready follows from the others.
package conditions
