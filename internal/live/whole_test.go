package live_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
)

func on(store, node, name string) live.Place {
	return live.Place{Store: store, Node: node, Setting: live.Setting{Name: name}}
}

// many is a situation with the wants, all of whose places have 5.
func many(wants ...live.Want) live.Situation {
	s := live.Situation{Wants: wants, States: map[live.Place]live.State{}, Owned: map[live.Place]live.Owned{}, Digest: readable}

	for _, w := range wants {
		s.States[w.Place] = number("5", "5")
		if w.Setting.Password {
			s.States[w.Place] = live.State{Stored: live.Text("V(5)"), Rule: verifiers{}}
		}
	}

	return s
}

func TestDecideAboutTheWhole(t *testing.T) {
	t.Parallel()

	a, b, c := place("a"), place("b"), place("c")
	all := policy(lockstepv1alpha1.LivePolicy{Atomicity: lockstepv1alpha1.AtomicAll})
	bestEffort := policy(lockstepv1alpha1.LivePolicy{Atomicity: lockstepv1alpha1.AtomicBestEffort})
	releasing := func(e live.Entry) func(*live.Situation) {
		return func(s *live.Situation) {
			s.Released = append(s.Released, e)
			s.States[e.Place] = number("7", "7")
		}
	}
	keeping := func(s *live.Situation) { s.Policy.OnRemove = lockstepv1alpha1.RemoveKeep }

	decide(t, map[string]decided{
		"one refused setting stops the whole": {
			with(many(want(a, "7"), want(b, "x")), all),
			[]string{
				`db: a Pending: waits, since all settings change together, for db: b [asked #7]`,
				`db: b Refused: takes whole numbers (the value comes from secret/db[b]) [asked #x]`,
			},
		},
		"all together is what is done when nothing is said": {
			many(want(a, "7"), want(b, "x")),
			[]string{
				`db: a Pending: waits, since all settings change together, for db: b [asked #7]`,
				`db: b Refused: takes whole numbers (the value comes from secret/db[b]) [asked #x]`,
			},
		},
		"with best effort a refused setting stops nothing": {
			with(many(want(a, "7"), want(b, "x")), bestEffort),
			[]string{
				`db: a Pending [asked #7]`,
				`db: b Refused: takes whole numbers (the value comes from secret/db[b]) [asked #x]`,
				`adopt db: a for "7", there was "5"`,
				`db: a: set "7" since adopted; back: set "5" as stored`,
			},
		},
		"a source that is missing stops the whole": {
			many(want(a, "7"), live.Want{Place: b, Missing: true, Objection: "waits: Secret b does not exist"}),
			[]string{
				`db: a Pending: waits, since all settings change together, for db: b [asked #7]`,
				`db: b Pending: waits: Secret b does not exist [missing]`,
			},
		},
		"with best effort a source that is missing stops nothing": {
			with(many(want(a, "7"), live.Want{Place: b, Missing: true, Objection: "waits: Secret b does not exist"}), bestEffort),
			[]string{
				`db: a Pending [asked #7]`,
				`db: b Pending: waits: Secret b does not exist [missing]`,
				`adopt db: a for "7", there was "5"`,
				`db: a: set "7" since adopted; back: set "5" as stored`,
			},
		},
		"a store that cannot be reached stops the whole": {
			with(many(want(a, "7"), want(b, "8")), func(s *live.Situation) { delete(s.States, b) }),
			[]string{
				`db: a Pending: waits, since all settings change together, for db: b [asked #7]`,
				`db: b Pending: waits: the store did not say what it has [asked #8] [unreachable]`,
			},
		},
		"with best effort a store that cannot be reached stops nothing": {
			with(many(want(a, "7"), want(b, "8")), func(s *live.Situation) { delete(s.States, b) }, bestEffort),
			[]string{
				`db: a Pending [asked #7]`,
				`db: b Pending: waits: the store did not say what it has [asked #8] [unreachable]`,
				`adopt db: a for "7", there was "5"`,
				`db: a: set "7" since adopted; back: set "5" as stored`,
			},
		},
		"what is let go and cannot be read stops the whole": {
			with(many(want(a, "7")), releasing(live.Entry{Place: b, Text: "7"}), func(s *live.Situation) { delete(s.States, b) }),
			[]string{
				`db: a Pending: waits, since all settings change together, for db: b [asked #7]`,
				`db: b Pending: is no longer asked for; waits: the store did not say what it has [unreachable]`,
			},
		},
		"while the whole waits, what is in force is not ours yet: what was there before is not on record": {
			many(want(a, "5"), want(b, "x")),
			[]string{
				`db: a Applied [asked #5]`,
				`db: b Refused: takes whole numbers (the value comes from secret/db[b]) [asked #x]`,
			},
		},
		"while the whole waits, what is ours stays ours": {
			with(many(want(a, "5"), want(b, "x")), owning(a, ours("5", "5"))),
			[]string{
				`db: a Applied [asked #5] [applied #5] [stored #5]`,
				`db: b Refused: takes whole numbers (the value comes from secret/db[b]) [asked #x]`,
			},
		},
		"while the whole waits, what is to be given back is not forgotten": {
			with(many(want(a, "x")), releasing(live.Entry{Place: b, Before: live.Text("5"), Text: "7"})),
			[]string{
				`db: a Refused: takes whole numbers (the value comes from secret/db[a]) [asked #x]`,
				`db: b Pending: is no longer asked for; waits, since all settings change together, for db: a`,
			},
		},
		"while the whole waits, what is only to be let go is not forgotten": {
			with(many(want(a, "x")), releasing(live.Entry{Place: b, Before: live.Text("5"), Text: "7"}), keeping),
			[]string{
				`db: a Refused: takes whole numbers (the value comes from secret/db[a]) [asked #x]`,
				`db: b Pending: is no longer asked for; waits, since all settings change together, for db: a`,
			},
		},
		"while the whole waits, each says why": {
			with(many(want(a, "7"), want(b, "x"), want(c, "y")), owning(a, ours("7", "7")), policy(lockstepv1alpha1.LivePolicy{OnDrift: lockstepv1alpha1.DriftReport})),
			[]string{
				`db: a Drifted: was changed in the store by somebody else; it is left as it is, as onDrift says [asked #7]`,
				`db: b Refused: takes whole numbers (the value comes from secret/db[b]) [asked #x]`,
				`db: c Refused: takes whole numbers (the value comes from secret/db[c]) [asked #y]`,
			},
		},
		"what is drifted and only told stops nothing": {
			with(many(want(a, "7"), want(b, "8")), owning(a, ours("7", "7")), policy(lockstepv1alpha1.LivePolicy{OnDrift: lockstepv1alpha1.DriftReport})),
			[]string{
				`db: a Drifted: was changed in the store by somebody else; it is left as it is, as onDrift says [asked #7]`,
				`db: b Pending [asked #8]`,
				`adopt db: b for "8", there was "5"`,
				`db: b: set "8" since adopted; back: set "5" as stored`,
			},
		},
	})
}

func TestDecideOrdersTheSteps(t *testing.T) {
	t.Parallel()

	secret := func(store, role string) live.Place {
		return live.Place{Store: store, Setting: live.Setting{Role: role, Password: true}}
	}
	release := func(places ...live.Place) func(*live.Situation) {
		return func(s *live.Situation) {
			for _, p := range places {
				s.Released = append(s.Released, live.Entry{Place: p, Before: live.Text("1"), Text: "5"})
				s.States[p] = number("5", "5")
			}
		}
	}

	cases := map[string]struct {
		given live.Situation
		want  []live.Place
	}{
		"those of one store stay in their order": {
			many(want(on("x", "", "b"), "7"), want(on("x", "", "a"), "7"), want(on("x", "", "c"), "7")),
			[]live.Place{on("x", "", "b"), on("x", "", "a"), on("x", "", "c")},
		},
		"the stores come in the order in which they are first asked for": {
			many(want(on("y", "", "a"), "7"), want(on("x", "", "a"), "7"), want(on("y", "", "b"), "7")),
			[]live.Place{on("y", "", "a"), on("y", "", "b"), on("x", "", "a")},
		},
		"a store is where it is first asked for, though that setting has its value": {
			many(want(on("y", "", "a"), "5"), want(on("x", "", "a"), "7"), want(on("y", "", "b"), "7")),
			[]live.Place{on("y", "", "b"), on("x", "", "a")},
		},
		"the nodes of a store are changed one after the other": {
			many(want(on("x", "1", "a"), "7"), want(on("x", "2", "a"), "7"), want(on("x", "1", "b"), "7"), want(on("x", "2", "b"), "7")),
			[]live.Place{on("x", "1", "a"), on("x", "1", "b"), on("x", "2", "a"), on("x", "2", "b")},
		},
		"passwords are the last of their store: we may be logged in by them": {
			many(want(secret("x", "app"), "7"), want(on("x", "", "a"), "7"), want(secret("y", "app"), "7"), want(on("y", "", "a"), "7")),
			[]live.Place{on("x", "", "a"), secret("x", "app"), on("y", "", "a"), secret("y", "app")},
		},
		"what is let go comes after what is asked for of its store, but before its passwords": {
			with(many(want(secret("x", "app"), "7"), want(on("x", "", "a"), "7"), want(on("y", "", "a"), "7")), release(on("x", "", "z"), on("y", "", "z"))),
			[]live.Place{on("x", "", "a"), on("x", "", "z"), secret("x", "app"), on("y", "", "a"), on("y", "", "z")},
		},
		"stores of which something is only let go come last": {
			with(many(want(on("x", "", "a"), "7")), release(on("w", "", "a"), on("x", "", "z"))),
			[]live.Place{on("x", "", "a"), on("x", "", "z"), on("w", "", "a")},
		},
		"the changes of a node are together, also where everything is let go": {
			with(many(), release(on("w", "1", "a"), on("w", "2", "a"), on("w", "1", "b"), on("w", "2", "b"))),
			[]live.Place{on("w", "1", "a"), on("w", "1", "b"), on("w", "2", "a"), on("w", "2", "b")},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(tc.want, placesOf(live.Decide(tc.given).Steps)); diff != "" {
				t.Errorf("order of the steps (-want +got):\n%s", diff)
			}
		})
	}
}

func placesOf(steps []live.Step) []live.Place {
	var places []live.Place
	for _, s := range steps {
		places = append(places, s.Place)
	}

	return places
}

func TestBlocked(t *testing.T) {
	t.Parallel()

	pending := live.Finding{Place: place("a"), State: lockstepv1alpha1.SettingPending}
	refused := live.Finding{Place: place("b"), State: lockstepv1alpha1.SettingRefused}
	missing := live.Finding{Place: place("c"), State: lockstepv1alpha1.SettingPending, Missing: true}
	unreachable := live.Finding{Place: place("d"), State: lockstepv1alpha1.SettingPending, Unreachable: true}
	drifted := live.Finding{Place: place("e"), State: lockstepv1alpha1.SettingDrifted}

	cases := map[string]struct {
		findings []live.Finding
		want     live.Finding
		blocked  bool
	}{
		"nothing blocks nothing":                   {},
		"what is pending or drifted does not":      {findings: []live.Finding{pending, drifted}},
		"the first of several is told":             {[]live.Finding{pending, missing, refused}, missing, true},
		"what is refused blocks":                   {[]live.Finding{refused}, refused, true},
		"what waits for its source blocks":         {[]live.Finding{missing}, missing, true},
		"what waits for its store blocks":          {[]live.Finding{unreachable}, unreachable, true},
		"what waits for its store, after the rest": {[]live.Finding{pending, drifted, unreachable}, unreachable, true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, blocked := live.Plan{Findings: tc.findings}.Blocked()
			if diff := cmp.Diff(tc.want, got); diff != "" || blocked != tc.blocked {
				t.Errorf("blocked: got %v, want %v; the finding (-want +got):\n%s", blocked, tc.blocked, diff)
			}
		})
	}
}

// A plan is also held after a store has judged it, or because somebody only wants to know.
func TestHeldLeavesThePlanThatItWasMadeOf(t *testing.T) {
	t.Parallel()

	given := with(many(want(place("a"), "7"), want(place("b"), "5")), func(s *live.Situation) {
		s.Released = []live.Entry{{Place: place("c"), Before: live.Text("1"), Text: "5"}}
		s.States[place("c")] = number("5", "5")
	})

	plan := live.Decide(given)
	before := told(plan)

	if diff := cmp.Diff([]string{
		`db: a Pending [asked #7]`,
		`db: b Applied [asked #5]`,
		`db: c Pending: is no longer asked for`,
	}, told(plan.Held())); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}

	given.Policy.Atomicity = lockstepv1alpha1.AtomicBestEffort
	given.Wants = append(given.Wants, live.Want{Place: place("d"), Missing: true})

	if diff := cmp.Diff([]string{
		`db: a Pending [asked #7]`,
		`db: b Applied [asked #5]`,
		`db: d Pending: waits for its source [missing]`,
		`db: c Pending: is no longer asked for`,
	}, told(live.Decide(given).Held())); diff != "" {
		t.Errorf("held though each stands for itself (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff(before, told(plan)); diff != "" {
		t.Errorf("the plan after it was held (-want +got):\n%s", diff)
	}
}

func TestTrigger(t *testing.T) {
	t.Parallel()

	a, b, c := place("a"), place("b"), place("c")
	from := func(at live.Place, source string) live.Want { return live.Want{Place: at, Source: source} }
	wants := []live.Want{from(a, "secret/db[a]"), from(b, "secret/db[b]"), from(c, "the spec")}

	cases := map[string]struct {
		steps []live.Step
		want  string
	}{
		"no step has no trigger":                       {},
		"a change is made for its source":              {[]live.Step{{Place: a, Reason: live.Changed}}, "secret/db"},
		"an adoption too":                              {[]live.Step{{Place: c, Reason: live.Adopted}}, "the spec"},
		"a source with several keys is named once":     {[]live.Step{{Place: a, Reason: live.Changed}, {Place: b, Reason: live.Changed}}, "secret/db"},
		"several sources are named in their order":     {[]live.Step{{Place: c, Reason: live.Changed}, {Place: a, Reason: live.Adopted}}, "the spec, secret/db"},
		"drift is named as such":                       {[]live.Step{{Place: a, Reason: live.Drifted}}, "drifted"},
		"a removal too, and each once":                 {[]live.Step{{Place: place("z"), Reason: live.Removed}, {Place: b, Reason: live.Removed}}, "removed"},
		"a place that nobody asks for has its reason":  {[]live.Step{{Place: place("z"), Reason: live.Adopted}}, "adopted"},
		"what is of different kinds is told in a list": {[]live.Step{{Place: a, Reason: live.Changed}, {Place: b, Reason: live.Drifted}}, "secret/db, drifted"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := live.Trigger(tc.steps, wants); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestPlacesAreNamedForPeople(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		place live.Place
		want  string
	}{
		"a setting of a store":          {place("work_mem"), "db: work_mem"},
		"a setting of a node":           {on("cache", "10.0.0.5:6379", "maxmemory"), "cache (10.0.0.5:6379): maxmemory"},
		"a section of Ceph":             {live.Place{Store: "ceph", Setting: live.Setting{Who: "global", Name: "mon_max_pg_per_osd"}}, "ceph: global/mon_max_pg_per_osd"},
		"a database":                    {live.Place{Store: "db", Setting: live.Setting{Database: "shop", Name: "work_mem"}}, "db: database=shop/work_mem"},
		"a role":                        {live.Place{Store: "db", Setting: live.Setting{Role: "app", Name: "work_mem"}}, "db: role=app/work_mem"},
		"a role in a database":          {live.Place{Store: "db", Setting: live.Setting{Database: "shop", Role: "app", Name: "work_mem"}}, "db: database=shop/role=app/work_mem"},
		"a key with a prefix":           {live.Place{Store: "etcd", Setting: live.Setting{Prefix: "/shop/", Name: "limit"}}, "etcd: /shop/limit"},
		"a password":                    {password("app"), "db: password=app"},
		"a password of which no role":   {password(""), "db: password="},
		"a setting that has no name":    {live.Place{Store: "db"}, "db: "},
		"a store that is one of no one": {live.Place{}, ": "},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := tc.place.String(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
