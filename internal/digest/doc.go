// Package digest reduces the contents of a source of configuration to fingerprints, so that a change can be
// noticed, and remembered, without keeping the contents.
//
// A source has two kinds of fingerprint. The compatible one is a SHA-1 that existing tools already write on
// workloads; it is kept bit for bit, although two different contents can share it. The other kind, [Sum], is
// ours: no two contents share it, there is one for each key besides the one for the whole, and it tells equal
// contents of two sources apart. Decisions are made on a [Sum] alone.
//
// Everything here is a pure function. Values are streamed through the hashes and never copied whole.
package digest
