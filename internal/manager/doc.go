// Package manager assembles the controllers of the dialects that are switched on. It is the only place that
// knows them all.
package manager
