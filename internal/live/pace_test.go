package live_test

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
)

// noon is an arbitrary moment.
func noon() time.Time { return time.Date(2026, 8, 10, 12, 0, 0, 0, time.UTC) }

// ago are moments so long before noon.
func ago(d ...time.Duration) []time.Time {
	var times []time.Time
	for _, d := range d {
		times = append(times, noon().Add(-d))
	}

	return times
}

func lasting(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func TestPace(t *testing.T) {
	t.Parallel()

	const day = 24 * time.Hour

	settle := lockstepv1alpha1.LivePolicy{SettleWindow: lasting(2 * time.Second)}
	interval := lockstepv1alpha1.LivePolicy{MinInterval: lasting(10 * time.Minute)}
	three := lockstepv1alpha1.LivePolicy{MaxChangesPerHour: new(int32(3))}
	everything := lockstepv1alpha1.LivePolicy{
		SettleWindow: settle.SettleWindow, MinInterval: interval.MinInterval, MaxChangesPerHour: three.MaxChangesPerHour,
	}

	cases := map[string]struct {
		policy  lockstepv1alpha1.LivePolicy
		noticed time.Time
		made    []time.Time
		want    time.Duration
		reason  string
	}{
		"without a rule nothing waits":                            {noticed: noon(), made: ago(0, 0, 0)},
		"the first change does not wait for others":               {policy: everything},
		"what was edited just now may be followed by more":        {settle, noon(), nil, 2 * time.Second, "more changes may follow within settleWindow 2s"},
		"the window counts from the last edit":                    {settle, ago(time.Second)[0], nil, time.Second, "more changes may follow within settleWindow 2s"},
		"the window is over":                                      {policy: settle, noticed: ago(2 * time.Second)[0]},
		"what was edited in the future is edited then":            {settle, noon().Add(time.Second), nil, 3 * time.Second, "more changes may follow within settleWindow 2s"},
		"what has no source has no window":                        {policy: settle},
		"the last change was just made":                           {interval, time.Time{}, ago(0), 10 * time.Minute, "minInterval 10m0s since the last change is not over"},
		"the last change counts, wherever it stands":              {interval, time.Time{}, ago(time.Minute, time.Hour, 9*time.Minute), 9 * time.Minute, "minInterval 10m0s since the last change is not over"},
		"the interval is over":                                    {policy: interval, made: ago(10*time.Minute, time.Hour)},
		"an interval may be longer than the hour":                 {lockstepv1alpha1.LivePolicy{MinInterval: lasting(day)}, time.Time{}, ago(5 * time.Hour), 19 * time.Hour, "minInterval 24h0m0s since the last change is not over"},
		"fewer changes than may be":                               {policy: three, made: ago(time.Minute, 2*time.Minute)},
		"as many as may be wait for the oldest to be an hour ago": {three, time.Time{}, ago(time.Minute, 50*time.Minute, 20*time.Minute), 10 * time.Minute, "maxChangesPerHour 3 is reached"},
		"more than may be wait for as many to be an hour ago":     {three, time.Time{}, ago(1, 10*time.Minute, 20*time.Minute, 30*time.Minute, 40*time.Minute), 40 * time.Minute, "maxChangesPerHour 3 is reached"},
		"what was an hour ago no longer counts":                   {policy: three, made: ago(time.Minute, time.Minute, time.Hour)},
		"what was almost an hour ago counts":                      {three, time.Time{}, ago(time.Minute, time.Minute, time.Hour-1), 1, "maxChangesPerHour 3 is reached"},
		"a limit below one is none":                               {policy: lockstepv1alpha1.LivePolicy{MaxChangesPerHour: new(int32(0))}, made: ago(0)},
		"a window of nothing is none":                             {policy: lockstepv1alpha1.LivePolicy{SettleWindow: lasting(0), MinInterval: lasting(0)}, noticed: noon(), made: ago(0)},
		"the longest of the rules is waited for and told":         {everything, noon(), ago(time.Minute, 2*time.Minute, 3*time.Minute), 57 * time.Minute, "maxChangesPerHour 3 is reached"},
		"the longest may be the interval":                         {everything, noon(), ago(time.Minute, 2*time.Minute), 9 * time.Minute, "minInterval 10m0s since the last change is not over"},
		"the longest may be the window":                           {everything, noon(), ago(10 * time.Minute), 2 * time.Second, "more changes may follow within settleWindow 2s"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			made := slices.Clone(tc.made)

			wait, reason := live.Pace(tc.policy, tc.noticed, tc.made, noon())
			if wait != tc.want || reason != tc.reason {
				t.Errorf("waits %s since %q, want %s since %q", wait, reason, tc.want, tc.reason)
			}

			if !slices.Equal(made, tc.made) {
				t.Error("the list that it was given has changed")
			}
		})
	}
}

func TestEditsThatFollowEachOtherHoldAChangeForSomeWindowsAlone(t *testing.T) {
	t.Parallel()

	settle := lockstepv1alpha1.LivePolicy{SettleWindow: lasting(2 * time.Second)}

	for name, tc := range map[string]struct {
		policy         lockstepv1alpha1.LivePolicy
		since, noticed time.Time
		want           time.Duration
	}{
		"the window counts from the last edit":     {settle, ago(5 * time.Second)[0], ago(time.Second)[0], time.Second},
		"not longer than ten of them":              {settle, ago(19 * time.Second)[0], noon(), time.Second},
		"and then no more":                         {settle, ago(time.Minute)[0], noon(), 0},
		"without a first edit the last one counts": {settle, time.Time{}, noon(), 2 * time.Second},
		"without an edit nothing is waited for":    {settle, noon(), time.Time{}, 0},
		"nor without a window":                     {lockstepv1alpha1.LivePolicy{MinInterval: lasting(time.Hour)}, noon(), noon(), 0},
	} {
		if got := live.Settle(tc.policy, tc.since, tc.noticed, noon()); got != tc.want {
			t.Errorf("%s: waits %s, want %s", name, got, tc.want)
		}
	}
}

func drawPace(t *rapid.T) lockstepv1alpha1.LivePolicy {
	var policy lockstepv1alpha1.LivePolicy

	duration := func(label string, most time.Duration) *metav1.Duration {
		if !rapid.Bool().Draw(t, "has "+label) {
			return nil
		}

		return lasting(time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, label)))
	}

	policy.SettleWindow = duration("settleWindow", time.Hour)
	policy.MinInterval = duration("minInterval", 3*time.Hour)

	if rapid.Bool().Draw(t, "has maxChangesPerHour") {
		policy.MaxChangesPerHour = new(rapid.Int32Range(1, 6).Draw(t, "maxChangesPerHour"))
	}

	return policy
}

func TestPaceNeverWaitsLongerThanItsLongestRule(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		policy := drawPace(t)
		past := rapid.Custom(func(t *rapid.T) time.Time {
			return noon().Add(-time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "ago")))
		})
		made := rapid.SliceOfN(past, 0, 8).Draw(t, "made")
		noticed := past.Draw(t, "noticed")

		wait, reason := live.Pace(policy, noticed, made, noon())

		var longest time.Duration

		for _, d := range []*metav1.Duration{policy.SettleWindow, policy.MinInterval} {
			if d != nil {
				longest = max(longest, d.Duration)
			}
		}

		if policy.MaxChangesPerHour != nil {
			longest = max(longest, time.Hour)
		}

		if wait < 0 || wait > longest {
			t.Errorf("waits %s, longer than %s", wait, longest)
		}

		if (wait > 0) != (reason != "") {
			t.Errorf("waits %s since %q", wait, reason)
		}

		// Whoever has waited may begin.
		if again, why := live.Pace(policy, noticed, made, noon().Add(wait)); again != 0 {
			t.Errorf("after %s it waits another %s since %s", wait, again, why)
		}
	})
}

// Somebody who edits all the time makes no more changes than the rules let him, and none of them is lost.
func TestPaceKeepsTheRulesInEveryHour(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		policy := drawPace(t)
		gaps := rapid.SliceOfN(rapid.Int64Range(0, int64(40*time.Minute)), 1, 40).Draw(t, "gaps between the edits")

		var made []time.Time

		now, noticed := noon(), noon()

		for _, gap := range gaps {
			noticed = noticed.Add(time.Duration(gap))
			now = later(now, noticed)

			// It waits as long as it is told, and is then let through.
			wait, _ := live.Pace(policy, noticed, made, now)
			now = now.Add(wait)
			made = append(made, now)

			kept(t, policy, made)
		}
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}

	return b
}

// kept fails if the last of the changes was made too early.
func kept(t *rapid.T, policy lockstepv1alpha1.LivePolicy, made []time.Time) {
	last := made[len(made)-1]

	if len(made) > 1 && policy.MinInterval != nil && last.Sub(made[len(made)-2]) < policy.MinInterval.Duration {
		t.Errorf("changes at %v, minInterval %s", made[len(made)-2:], policy.MinInterval.Duration)
	}

	within := 0

	for _, at := range made {
		if last.Sub(at) < time.Hour {
			within++
		}
	}

	if most := policy.MaxChangesPerHour; most != nil && within > int(*most) {
		t.Errorf("%d changes in the hour before %v, at most %d", within, last, *most)
	}
}
