package plan_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/plan"
)

// start is an arbitrary moment.
func start() time.Time { return time.Date(2026, 8, 10, 12, 0, 0, 0, time.UTC) }

func TestPace(t *testing.T) {
	t.Parallel()

	now := start()

	cases := map[string]struct {
		last       time.Time
		streak     int
		min        time.Duration
		wantWait   time.Duration
		wantStreak int
	}{
		"the first rollout starts at once": {min: time.Minute},
		"without a limit every rollout starts at once, and no streak grows": {
			last: now, streak: 7,
		},
		"a negative limit is none": {last: now, streak: 1, min: -time.Second},
		"a second one waits for the rest of the interval": {
			last: now.Add(-4 * time.Second), min: 10 * time.Second,
			wantWait: 6 * time.Second, wantStreak: 1,
		},
		"a third in a row waits twice as long": {
			last: now, streak: 1, min: 10 * time.Second, wantWait: 20 * time.Second, wantStreak: 2,
		},
		"the interval stops growing at five minutes": {
			last: now, streak: 5, min: 10 * time.Second, wantWait: 5 * time.Minute, wantStreak: 6,
		},
		"a limit above five minutes does not grow": {
			last: now, streak: 3, min: time.Hour, wantWait: time.Hour, wantStreak: 4,
		},
		"a change within two intervals starts at once and prolongs the streak": {
			last: now.Add(-20 * time.Second), min: 10 * time.Second, wantStreak: 1,
		},
		"a change after that starts at once and ends the streak": {
			last: now.Add(-20*time.Second - 1), streak: 0, min: 10 * time.Second,
		},
		"a long streak ends after two of its own intervals": {
			last: now.Add(-10*time.Minute - 1), streak: 9, min: 10 * time.Second,
		},
		"a last time a little ahead is one from another clock": {
			last: now.Add(time.Second), min: 10 * time.Second, wantWait: 11 * time.Second, wantStreak: 1,
		},
		"a last time far ahead is none": {last: now.Add(time.Hour), streak: 4, min: 10 * time.Second},
		"a streak that makes no sense does no harm": {
			last: now, streak: -3, min: 10 * time.Second, wantWait: 10 * time.Second, wantStreak: 1,
		},
		"a streak grows no further than it has to": {
			last: now, streak: 1 << 40, min: time.Second, wantWait: 5 * time.Minute, wantStreak: 63,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			at, streak := plan.Pace(tc.last, tc.streak, tc.min, now)
			if wait := at.Sub(now); wait != tc.wantWait || streak != tc.wantStreak {
				t.Errorf("waits %s with streak %d, want %s with streak %d", wait, streak, tc.wantWait, tc.wantStreak)
			}
		})
	}
}

func TestPaceKeepsItsPromises(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		now := start()
		last := now.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "last")))
		streak := rapid.IntRange(-2, 100).Draw(t, "streak")
		least := time.Duration(rapid.Int64Range(1, int64(20*time.Minute)).Draw(t, "min"))

		at, next := plan.Pace(last, streak, least, now)

		if at.Before(now) {
			t.Errorf("starts %s ago", now.Sub(at))
		}

		if !last.After(now) && at.Sub(last) < least {
			t.Errorf("starts %s after the last, sooner than %s", at.Sub(last), least)
		}

		if longest := 2 * max(least, 5*time.Minute); at.Sub(now) > longest {
			t.Errorf("waits %s, longer than %s", at.Sub(now), longest)
		}

		if next < 0 || next > max(streak, 0)+1 {
			t.Errorf("the streak goes from %d to %d", streak, next)
		}

		// Whoever waits and asks again is let through.
		if again, _ := plan.Pace(last, streak, least, at); !again.Equal(at) {
			t.Errorf("at the time given it says to wait another %s", again.Sub(at))
		}
	})
}

// rolloutsWithin counts the rollouts of a workload whose source changes every second.
func rolloutsWithin(d, minInterval time.Duration) int {
	var last time.Time

	count, streak := 0, 0

	for now := start(); now.Before(start().Add(d)); now = now.Add(time.Second) {
		at, next := plan.Pace(last, streak, minInterval, now)
		if !at.After(now) {
			last, streak = now, next
			count++
		}
	}

	return count
}

func TestTwoWritersThatFightMakeFewRollouts(t *testing.T) {
	t.Parallel()

	const limit = 12

	for _, least := range []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, time.Minute} {
		first, second := rolloutsWithin(time.Hour, least), rolloutsWithin(2*time.Hour, least)

		if later := second - first; later > limit {
			t.Errorf("min %s: %d rollouts in the second hour, want at most %d", least, later, limit)
		}

		if first > 2*limit {
			t.Errorf("min %s: %d rollouts in the first hour, want at most %d", least, first, 2*limit)
		}
	}
}
