// Package cli holds the verbs of the lockstep command, one file each. Every verb is built by a constructor
// from the streams it may use; nothing is registered by a package's initialisation.
package cli
