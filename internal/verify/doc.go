// Package verify compiles and evaluates checks: expressions that look at texts and say whether they are as they have to be.
//
// The language is CEL with the functions that Kubernetes has for its own validation rules. What a check looks at may be
// secret, so no error repeats it: an error says where in the expression it fails, and in which function.
package verify
