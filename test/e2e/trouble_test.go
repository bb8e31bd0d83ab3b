package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/lockstep-dev/lockstep/internal/testing/faults"
)

func TestNothingIsLostWhileTheServerFailsForTenSeconds(t *testing.T) {
	t.Parallel()

	for name, rule := range map[string]faults.Rule{
		"§9 [B] with 500":                          {Status: http.StatusInternalServerError},
		"§9 [B] with 429 and a time to come again": {Status: http.StatusTooManyRequests, RetryAfter: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			each(5, func(name string) { w.create(w.secret(name, "old"), w.statefulSet(name, auto())) })

			p := w.reload()
			p.listed()

			trouble, over := context.WithTimeout(t.Context(), 10*time.Second)
			defer over()

			rule.Until = trouble.Done()
			w.proxy.Add(rule)

			// Of these the watch still tells, but nothing can be written.
			w.set(w.secret("app-0", "new"), w.secret("app-1", "new"))
			w.proxy.Cut()
			// Of these it tells no more.
			w.set(w.secret("app-2", "new"), w.secret("app-3", "new"), w.secret("app-4", "new"))
			<-trouble.Done()

			each(5, func(name string) { carries(w, w.statefulSet(name, nil), w.secret(name, ""), "new") })
			p.settle()

			each(5, func(name string) {
				if got := w.rollouts(w.statefulSet(name, nil)); got != 1 {
					t.Errorf("%s: %d rollouts, want 1", name, got)
				}
			})
		})
	}
}

func TestNothingIsMissedWhileWatchesAreCut(t *testing.T) {
	t.Parallel()

	const workloads, rounds = 10, 5

	w := newWorld(t)
	each(workloads, func(name string) { w.create(w.secret(name, "old"), w.statefulSet(name, auto())) })

	p := w.reload()
	p.listed()

	for round := range rounds {
		each(workloads, func(name string) {
			w.set(w.secret(name, fmt.Sprint("round ", round)))
			w.proxy.Cut()
		})
	}

	each(workloads, func(name string) {
		carries(w, w.statefulSet(name, nil), w.secret(name, ""), fmt.Sprint("round ", rounds-1))
	})
	p.settle()

	each(workloads, func(name string) {
		if got := w.rollouts(w.statefulSet(name, nil)); got > rounds {
			t.Errorf("%s: %d rollouts for %d changes", name, got, rounds)
		}
	})
}
