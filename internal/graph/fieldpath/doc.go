// Package fieldpath says where in a document something is: a path to one value, a tree of paths to all that
// somebody sets or reads, and an error at a path.
package fieldpath
