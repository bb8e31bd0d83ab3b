// Package config holds the manifests of an installation: who the manager is, what it may do, and how it runs.
// They are written for the namespace lockstep-system; whoever installs them elsewhere rewrites it.
//
// A new dialect adds a folder under dialects, with its custom resource definitions, admission policies and the
// least rights that it needs; nothing else has to know of it.
package config
