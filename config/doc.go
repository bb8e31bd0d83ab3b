// Package config holds the manifests of an installation: who the manager is, what it may do, and how it runs.
// They are written for the namespace lockstep-system; whoever installs them elsewhere rewrites it.
//
// A new dialect adds a folder under dialects, with its admission policies and the least rights that it needs, its custom
// resource definitions in the folder crd below, and in the folders unrestricted and rook the rights that are only given
// where they are asked for; nothing else has to know of it.
package config
