// Package manifest reads definitions as people write them, in YAML files, and says of everything that is wrong with
// them in which line and column it is. Definitions that are read together know each other's kinds.
package manifest
