package e2e

import (
	"testing"

	"github.com/lockstep-dev/lockstep/internal/testing/faults"
)

func TestEditsThatChangeNoDataCauseNoRequest(t *testing.T) {
	t.Parallel()

	const sources = 20

	w := newWorld(t)
	last := w.statefulSet("last", auto())
	w.create(w.secret("last", "old"), w.configMap("last", "old"), last)
	each(sources, func(name string) {
		w.create(w.secret(name, "old"), w.configMap(name, "old"), w.statefulSet(name, auto()))
	})

	p := w.reload()
	p.listed()
	w.recorded()

	// A change of both kinds that is carried tells that everything before it was looked at.
	fence := func(value string) {
		w.set(w.secret("last", value), w.configMap("last", value))
		carries(w, last, w.secret("last", ""), value)
		carries(w, last, w.configMap("last", ""), value)
	}
	fence("first")
	w.proxy.Reset()
	each(sources, func(name string) {
		w.merge(w.secret(name, ""), `{"metadata":{"labels":{"edited":"yes"}}}`)
		w.merge(w.configMap(name, ""), `{"metadata":{"annotations":{"edited":"yes"}}}`)
	})
	fence("second")

	for _, q := range w.proxy.Requests() {
		if !w.ofFence(q) {
			t.Errorf("%s %s, want no request", q.Verb, q.Path)
		}
	}

	p.settle()
}

// ofFence tells whether a request is one of those for the two changes around the edits: the write to the workload,
// its event, and the record of it, which comes up to two seconds later.
func (w *world) ofFence(q faults.Request) bool {
	record := baseline(q) && q.Namespace == w.home

	return record || on("patch", "statefulsets")(q) && q.Name == "last" || q.Writes() && q.Resource == "events"
}
