package demo

import (
	"slices"
	"time"
)

// silent is what a store says that does not answer.
const silent = ""

// sighting is what a store said was in force, and when it was heard first.
type sighting struct {
	at    time.Time
	value string
}

// trail is what a store has said, one sighting for each time that it was another than before.
type trail []sighting

// with is the trail with what the store says now. It tells whether that is news.
func (t trail) with(s sighting) (trail, bool) {
	if n := len(t); n > 0 && t[n-1].value == s.value {
		return t, false
	}

	return append(t, s), true
}

// since is from when on the store has had the value which it has now; false if that is another one.
func (t trail) since(value string) (time.Time, bool) {
	if n := len(t); n > 0 && t[n-1].value == value {
		return t[n-1].at, true
	}

	return time.Time{}, false
}

// first is when a value was heard first after a moment.
func (t trail) first(value string, after time.Time) (time.Time, bool) {
	for _, s := range t {
		if s.value == value && s.at.After(after) {
			return s.at, true
		}
	}

	return time.Time{}, false
}

// strays are the values other than these that were heard after a moment, each once, in their order.
func (t trail) strays(after time.Time, values ...string) []string {
	var strays []string
	for _, s := range t {
		if s.at.After(after) && s.value != silent && !slices.Contains(values, s.value) && !slices.Contains(strays, s.value) {
			strays = append(strays, s.value)
		}
	}

	return strays
}
