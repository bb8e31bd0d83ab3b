package plan

import "time"

// maxInterval is how far the interval between two rollouts of one workload grows: at a dozen an hour, two
// writers that fight over one source are visible and harmless.
const maxInterval = 5 * time.Minute

// maxStreak bounds the streak; by then every interval has reached its maximum.
const maxStreak = 63

// Pace says when the next rollout of a workload may start, and the streak to remember once it has started.
//
// last is when the previous one started (zero: never), streak what was remembered then, minInterval the least
// time between two (zero or less: no limit).
//
// The first rollout may start at once. Another waits for an interval after the last one: minInterval, doubled
// for each rollout of the streak, up to five minutes or minInterval if that is longer. A rollout that starts
// within two intervals prolongs the streak, a later one begins anew. A last time further ahead than the
// interval can only come from a wrong clock and is taken for never, lest the workload wait for that clock.
//
// The result is never before now, and asking again with a later now never moves it further out than that now.
func Pace(last time.Time, streak int, minInterval time.Duration, now time.Time) (time.Time, int) {
	if last.IsZero() || minInterval <= 0 {
		return now, 0
	}

	interval := intervalOf(streak, minInterval)
	if last.Sub(now) > interval {
		return now, 0
	}

	at := last.Add(interval)
	if at.Before(now) {
		at = now
	}

	if at.Sub(last)-interval > interval {
		return at, 0
	}

	return at, min(max(streak, 0)+1, maxStreak)
}

// intervalOf is the time to leave after a rollout that was the streak-th in quick succession.
func intervalOf(streak int, minInterval time.Duration) time.Duration {
	interval, limit := minInterval, max(minInterval, maxInterval)

	for range min(streak, maxStreak) {
		if interval >= limit/2 {
			return limit
		}

		interval *= 2
	}

	return interval
}
