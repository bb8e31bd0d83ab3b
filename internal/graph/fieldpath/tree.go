package fieldpath

import (
	"maps"
	"slices"
	"strings"
)

// Tree is a set of paths through keys. A path in it stands for the value there and everything below. The zero value
// is empty. It is safe for concurrent use once nobody changes it any more.
type Tree struct {
	// all is set where a path ends.
	all   bool
	below map[string]*Tree
}

// NewTree returns a tree of paths, each written as keys joined by dots.
func NewTree(paths ...string) *Tree {
	t := &Tree{}
	for _, p := range paths {
		t.Add(strings.Split(p, ".")...)
	}

	return t
}

// Add adds a path. Without keys it adds the whole document.
func (t *Tree) Add(keys ...string) {
	if t.all {
		return
	}

	if len(keys) == 0 {
		t.all, t.below = true, nil

		return
	}

	next := t.below[keys[0]]
	if next == nil {
		next = &Tree{}

		if t.below == nil {
			t.below = map[string]*Tree{}
		}

		t.below[keys[0]] = next
	}

	next.Add(keys[1:]...)
}

// Merge adds the paths of another tree, which may be nil.
func (t *Tree) Merge(other *Tree) {
	if other == nil || t.all {
		return
	}

	if other.all {
		t.Add()

		return
	}

	for key, sub := range other.below {
		next := t.below[key]
		if next == nil {
			next = &Tree{}

			if t.below == nil {
				t.below = map[string]*Tree{}
			}

			t.below[key] = next
		}

		next.Merge(sub)
	}
}

// Covers says whether every path of the other tree, which may be nil, is in this one.
func (t *Tree) Covers(other *Tree) bool {
	if other == nil || t.all {
		return true
	}

	if other.all {
		return false
	}

	for key, sub := range other.below {
		next := t.below[key]
		if next == nil || !next.Covers(sub) {
			return false
		}
	}

	return true
}

// Has says whether the value at the keys is in the tree, or something below it is.
func (t *Tree) Has(keys ...string) bool {
	for _, key := range keys {
		if t.all {
			return true
		}

		if t = t.below[key]; t == nil {
			return false
		}
	}

	return t.all || len(t.below) > 0
}

// Keep returns what of a document is in the tree: new maps down to where a path ends, the document's own values from
// there on. A value that is no map where a path goes on is kept whole.
func (t *Tree) Keep(document map[string]any) map[string]any {
	if t.all {
		return document
	}

	kept := make(map[string]any, len(t.below))

	for key, sub := range t.below {
		value, there := document[key]
		if !there {
			continue
		}

		if inner, ok := value.(map[string]any); ok && !sub.all {
			value = sub.Keep(inner)
		}

		kept[key] = value
	}

	return kept
}

// String lists the paths, sorted, for tests and logs.
func (t *Tree) String() string {
	if t.all {
		return "*"
	}

	parts := make([]string, 0, len(t.below))

	for _, key := range slices.Sorted(maps.Keys(t.below)) {
		if sub := t.below[key]; sub.all {
			parts = append(parts, key)
		} else {
			parts = append(parts, key+"{"+sub.String()+"}")
		}
	}

	return strings.Join(parts, " ")
}
