// Package configuration loads a manager's configuration, fills in what it leaves out and says what is wrong with it.
// Everything but [Load] is pure.
package configuration
