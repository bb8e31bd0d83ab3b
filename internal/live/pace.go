package live

import (
	"fmt"
	"slices"
	"time"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// mostWindows is for how many windows edits that follow each other hold a change: they may never end.
const mostWindows = 10

// Settle says how long a change waits for more edits, when the first was made at since and the last was noticed at noticed.
func Settle(policy lockstepv1alpha1.LivePolicy, since, noticed, now time.Time) time.Duration {
	wait, _ := Pace(lockstepv1alpha1.LivePolicy{SettleWindow: policy.SettleWindow}, noticed, nil, now)
	if w := policy.SettleWindow; w != nil && !since.IsZero() {
		wait = min(wait, since.Add(mostWindows*w.Duration).Sub(now))
	}

	return max(wait, 0)
}

// Pace says how long a change has to wait, and for what; zero when it may begin. Noticed is when the last source changed
// (zero if none did), and made is when the changes of the last hour began, and the last one however long ago it was: a
// minInterval may be longer than an hour.
func Pace(policy lockstepv1alpha1.LivePolicy, noticed time.Time, made []time.Time, now time.Time) (wait time.Duration, reason string) {
	later := func(until time.Time, why string) {
		if d := until.Sub(now); d > wait {
			wait, reason = d, why
		}
	}

	if w := policy.SettleWindow; w != nil && !noticed.IsZero() {
		later(noticed.Add(w.Duration), fmt.Sprintf("more changes may follow within settleWindow %s", w.Duration))
	}

	if len(made) == 0 {
		return wait, reason
	}

	made = slices.SortedFunc(slices.Values(made), time.Time.Compare)

	if w := policy.MinInterval; w != nil {
		later(made[len(made)-1].Add(w.Duration), fmt.Sprintf("minInterval %s since the last change is not over", w.Duration))
	}

	if most := policy.MaxChangesPerHour; most != nil && *most > 0 {
		recent := slices.DeleteFunc(made, func(t time.Time) bool { return now.Sub(t) >= time.Hour })
		if n := len(recent); n >= int(*most) {
			later(recent[n-int(*most)].Add(time.Hour), fmt.Sprintf("maxChangesPerHour %d is reached", *most))
		}
	}

	return wait, reason
}
