// Package source is where changes come from: informers that keep of every object only what somebody will ask
// for, and that say what changed by comparing what they kept with what they see.
//
// There is no queue between the watch and the reader: what is kept is the state, so that a missed event, a
// broken watch or a second list all end in the same comparison and nothing can be lost on the way.
package source
