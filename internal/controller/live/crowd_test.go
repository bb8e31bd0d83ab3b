package live

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

func TestWhoHasArrivedWaitsForThoseWhoStillArrive(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		// others are when those arrive who are on the way.
		others []time.Duration
		want   time.Duration
	}{
		"nobody is on the way":                             {nil, 0},
		"until the last has arrived":                       {[]time.Duration{100 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond}, 500 * time.Millisecond},
		"one whose store is frozen holds nobody for long":  {[]time.Duration{time.Hour}, patience},
		"nor does it after others have arrived":            {[]time.Duration{200 * time.Millisecond, time.Hour}, 200*time.Millisecond + patience},
		"and those who arrive for ever hold nobody so":     {everySoOften(100*time.Millisecond, time.Minute), longestWait},
		"one who arrives too late does not bring it about": {[]time.Duration{2 * patience}, patience},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(clock.RealClock{})

			for _, after := range tc.others {
				c.enter()
				time.AfterFunc(after, c.leave)
			}

			begun := time.Now()
			c.await(t.Context())

			if took := time.Since(begun); took != tc.want {
				t.Errorf("%s: waited %v, want %v", name, took, tc.want)
			}
		})
	}
}

func everySoOften(pause, until time.Duration) []time.Duration {
	var all []time.Duration
	for at := pause; at < until; at += pause {
		all = append(all, at)
	}

	return all
}

func TestWaitingForOthersEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(clock.RealClock{})
		c.enter()

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()

		begun := time.Now()
		c.await(ctx)

		if took := time.Since(begun); took != time.Millisecond {
			t.Errorf("waited %v", took)
		}
	})
}
