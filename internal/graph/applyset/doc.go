// Package applyset names what ties an instance's objects to it: the labels and annotations on them, the set that they
// form, and the field managers in whose names they are written.
package applyset
