package live_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
)

func place(name string) live.Place { return live.Place{Store: "db", Setting: live.Setting{Name: name}} }

func password(role string) live.Place {
	return live.Place{Store: "db", Setting: live.Setting{Role: role, Password: true}}
}

// want asks for a text at a place.
func want(at live.Place, text string) live.Want {
	return live.Want{Place: at, Text: text, Source: "secret/db[" + at.Setting.ID() + "]"}
}

// number is the state of a setting for numbers below 100; empty texts are values that are not there.
func number(stored, running string) live.State {
	return live.State{Stored: optional(stored), Running: optional(running), Rule: numbers{below: 100}}
}

func optional(text string) live.Value {
	if text == "" {
		return live.Value{}
	}

	return live.Text(text)
}

// ours is what is remembered of a place at which this was applied and then stored.
func ours(applied, stored string) live.Owned {
	return live.Owned{Applied: readable(applied), Stored: readable(stored)}
}

// one is a situation with one want at one place, of which the store says this.
func one(w live.Want, state live.State) live.Situation {
	return live.Situation{
		Wants: []live.Want{w}, States: map[live.Place]live.State{w.Place: state}, Owned: map[live.Place]live.Owned{},
		Digest: readable,
	}
}

// with changes a situation.
func with(s live.Situation, changes ...func(*live.Situation)) live.Situation {
	for _, change := range changes {
		change(&s)
	}

	return s
}

// awaiting says which processes still use what was there before.
func awaiting(at live.Place, processes ...string) func(*live.Situation) {
	return func(s *live.Situation) { s.Awaits = map[live.Place][]string{at: processes} }
}

func owning(at live.Place, o live.Owned) func(*live.Situation) {
	return func(s *live.Situation) { s.Owned[at] = o }
}

func policy(p lockstepv1alpha1.LivePolicy) func(*live.Situation) {
	return func(s *live.Situation) { s.Policy = p }
}

func cutOff(entries ...live.Entry) func(*live.Situation) {
	return func(s *live.Situation) { s.CutOff = live.Record{Revision: 9, Entries: entries} }
}

// wanted changes the want before the situation is made of it.
func wanted(w live.Want, change func(*live.Want)) live.Want {
	change(&w)

	return w
}

// said changes what the store says.
func said(state live.State, change func(*live.State)) live.State {
	change(&state)

	return state
}

// decided is a case of a test of Decide.
type decided struct {
	given live.Situation
	want  []string
}

func decide(t *testing.T, cases map[string]decided) {
	t.Helper()

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(tc.want, told(live.Decide(tc.given))); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecideAdopts(t *testing.T) {
	t.Parallel()

	a, app := place("a"), password("app")

	decide(t, map[string]decided{
		"nothing is asked for, and nothing is done": {live.Situation{Digest: readable}, nil},
		"what the store has otherwise is adopted with what is there, which is the way back": {
			one(want(a, "7"), number("5", "5")),
			[]string{
				`db: a Pending [asked #7]`,
				`adopt db: a for "7", there was "5"`,
				`db: a: set "7" since adopted; back: set "5" as stored`,
			},
		},
		"what the store has not set is adopted, and to unset it is the way back": {
			one(want(a, "7"), number("", "5")),
			[]string{
				`db: a Pending [asked #7]`,
				`adopt db: a for "7", there was nothing`,
				`db: a: set "7" since adopted; back: unset as stored`,
			},
		},
		"a default that is what is asked for is set all the same: a default may change": {
			one(want(a, "7"), number("", "7")),
			[]string{
				`db: a Pending [asked #7]`,
				`adopt db: a for "7", there was nothing`,
				`db: a: set "7" since adopted; back: unset as stored`,
			},
		},
		"what the store has already is adopted without a write": {
			one(want(a, "7"), number("7", "7")),
			[]string{
				`db: a Applied [asked #7] [applied #7] [stored #7]`,
				`adopt db: a for "7", there was "7"`,
			},
		},
		"what the store has in another form is there already": {
			one(want(a, "007"), number("7", "7")),
			[]string{
				`db: a Applied [asked #007] [applied #007] [stored #7]`,
				`adopt db: a for "007", there was "7"`,
			},
		},
		"an empty text is a value like any other": {
			one(want(a, ""), live.State{Stored: live.Text("x"), Rule: words{}}),
			[]string{
				`db: a Pending [asked #]`,
				`adopt db: a for "", there was "x"`,
				`db: a: set "" since adopted; back: set "x" as stored`,
			},
		},
		"an empty text that is set is not the same as none": {
			one(want(a, ""), live.State{Rule: words{}}),
			[]string{
				`db: a Pending [asked #]`,
				`adopt db: a for "", there was nothing`,
				`db: a: set "" since adopted; back: unset as stored`,
			},
		},
		"a password whose verifier is shown goes back to the verifier": {
			one(want(app, "new"), live.State{Stored: live.Text("V(old)"), Rule: verifiers{}}),
			[]string{
				`db: password=app Pending [asked #new]`,
				`adopt db: password=app for "new", there was "V(old)"`,
				`db: password=app: set "new" since adopted; back: set "V(old)" as stored`,
			},
		},
		"a password that is in force already is adopted without a write": {
			one(want(app, "new"), live.State{Stored: live.Text("V(new)"), Rule: verifiers{}}),
			[]string{
				`db: password=app Applied [asked #new] [applied #new] [stored #V(new)]`,
				`adopt db: password=app for "new", there was "V(new)"`,
			},
		},
		"of a password that the store does not tell nobody knows the way back": {
			one(want(app, "new"), live.State{Hidden: true, Rule: verifiers{}}),
			[]string{
				`db: password=app Pending [asked #new]`,
				`adopt db: password=app for "new", there was something hidden`,
				`db: password=app: set "new" since adopted; back: from the record`,
			},
		},
		"a password may leave the former one valid": {
			one(wanted(want(app, "new"), func(w *live.Want) { w.Keep = true }), live.State{Stored: live.Text("V(old)"), Rule: verifiers{}}),
			[]string{
				`db: password=app Pending [asked #new]`,
				`adopt db: password=app for "new", there was "V(old)"`,
				`db: password=app: set "new" beside the former since adopted; back: set "V(old)" as stored`,
			},
		},
	})
}

func TestDecideChanges(t *testing.T) {
	t.Parallel()

	a, app := place("a"), password("app")

	decide(t, map[string]decided{
		"another value is asked for, and what was applied last is the way back": {
			with(one(want(a, "7"), number("5", "5")), owning(a, ours("5", "5"))),
			[]string{
				`db: a Pending [asked #7]`,
				`db: a: set "7" since changed; back: set "5" as stored`,
			},
		},
		"the way back is in the form of the store": {
			with(one(want(a, "7"), number("5", "5")), owning(a, ours("005", "5"))),
			[]string{
				`db: a Pending [asked #7]`,
				`db: a: set "7" since changed; back: set "5" as stored`,
			},
		},
		"what is there and was never released is not the way back": {
			with(one(want(a, "7"), number("6", "6")), owning(a, ours("5", "5"))),
			[]string{
				`db: a Pending [asked #7]`,
				`db: a: set "7" since changed; back: from the record`,
			},
		},
		"what somebody has unset meanwhile is not the way back either": {
			with(one(want(a, "7"), number("", "1")), owning(a, ours("5", "5"))),
			[]string{
				`db: a Pending [asked #7]`,
				`db: a: set "7" since changed; back: from the record`,
			},
		},
		"another text for the same value is no change": {
			with(one(want(a, "007"), number("7", "7")), owning(a, ours("7", "7"))),
			[]string{`db: a Applied [asked #007] [applied #007] [stored #7]`},
		},
		"what is asked for is what was applied, and nothing is done": {
			with(one(want(a, "7"), number("7", "7")), owning(a, ours("7", "7"))),
			[]string{`db: a Applied [asked #7] [applied #7] [stored #7]`},
		},
		"another password that the store does not tell goes back to the recorded one": {
			with(one(want(app, "new"), live.State{Hidden: true, Rule: verifiers{}}), owning(app, ours("old", ""))),
			[]string{
				`db: password=app Pending [asked #new]`,
				`db: password=app: set "new" since changed; back: from the record`,
			},
		},
		"a password that the store does not tell is what was last applied": {
			with(one(want(app, "new"), live.State{Hidden: true, Rule: verifiers{}}), owning(app, ours("new", ""))),
			[]string{`db: password=app Applied [asked #new] [applied #new] [stored #]`},
		},
	})
}

func TestDecideOnDrift(t *testing.T) {
	t.Parallel()

	a, app := place("a"), password("app")
	report := policy(lockstepv1alpha1.LivePolicy{OnDrift: lockstepv1alpha1.DriftReport})
	correct := policy(lockstepv1alpha1.LivePolicy{OnDrift: lockstepv1alpha1.DriftCorrect})

	decide(t, map[string]decided{
		"what somebody else has changed is set again; if that fails, it is as they left it": {
			with(one(want(a, "7"), number("6", "6")), owning(a, ours("7", "7")), correct),
			[]string{
				`db: a Pending [asked #7]`,
				`db: a: set "7" since drifted; back: set "6" as stored`,
			},
		},
		"what somebody else has unset is set again": {
			with(one(want(a, "7"), number("", "1")), owning(a, ours("7", "7"))),
			[]string{
				`db: a Pending [asked #7]`,
				`db: a: set "7" since drifted; back: unset as stored`,
			},
		},
		"with onDrift report it is told and left": {
			with(one(want(a, "7"), number("6", "6")), owning(a, ours("7", "7")), report),
			[]string{`db: a Drifted: was changed in the store by somebody else; it is left as it is, as onDrift says [asked #7]`},
		},
		"with onDrift report another value that is asked for is set": {
			with(one(want(a, "8"), number("6", "6")), owning(a, ours("7", "7")), report),
			[]string{
				`db: a Pending [asked #8]`,
				`db: a: set "8" since changed; back: from the record`,
			},
		},
		"with onDrift report what is not ours yet is set": {
			with(one(want(a, "7"), number("6", "6")), report),
			[]string{
				`db: a Pending [asked #7]`,
				`adopt db: a for "7", there was "6"`,
				`db: a: set "7" since adopted; back: set "6" as stored`,
			},
		},
		"the same value in another form is no drift": {
			with(one(want(a, "7"), number("007", "7")), owning(a, ours("7", "7")), report),
			[]string{`db: a Applied [asked #7] [applied #7] [stored #007]`},
		},
		"another verifier of the same password is no drift": {
			with(one(want(app, "new"), live.State{Stored: live.Text("V(new)"), Rule: verifiers{}}), owning(app, ours("new", "salted otherwise"))),
			[]string{`db: password=app Applied [asked #new] [applied #new] [stored #V(new)]`},
		},
		"a password that somebody else has changed is set again": {
			with(one(want(app, "new"), live.State{Stored: live.Text("V(x)"), Rule: verifiers{}}), owning(app, ours("new", "V(new)"))),
			[]string{
				`db: password=app Pending [asked #new]`,
				`db: password=app: set "new" since drifted; back: set "V(x)" as stored`,
			},
		},
	})
}

// letGo is a situation in which a place is ours and no longer asked for.
func letGo(e live.Entry, state live.State, onRemove lockstepv1alpha1.OnRemove) live.Situation {
	return live.Situation{
		Released: []live.Entry{e}, States: map[live.Place]live.State{e.Place: state}, Digest: readable,
		Policy: lockstepv1alpha1.LivePolicy{OnRemove: onRemove},
	}
}

func TestDecideOnRemoval(t *testing.T) {
	t.Parallel()

	const (
		restore = lockstepv1alpha1.RemoveRestore
		unset   = lockstepv1alpha1.RemoveUnset
		keep    = lockstepv1alpha1.RemoveKeep
	)

	a, app := place("a"), password("app")
	before := func(text string) live.Entry { return live.Entry{Place: a, Before: optional(text), Text: "7"} }
	noUnset := func(s *live.State) { s.NoUnset = true }
	unreadable := letGo(before("5"), live.State{}, restore)
	unreadable.States = nil
	unreadable.Unreachable = map[live.Node]string{{Store: "db"}: "waits for LiveStore db, which cannot be used: it is frozen"}

	decide(t, map[string]decided{
		"restore brings back what was there": {
			letGo(before("5"), number("7", "7"), restore),
			[]string{
				`db: a Pending: is no longer asked for`,
				`db: a: set "5" as stored since removed; back: set "7" as stored`,
				`let go of db: a`,
			},
		},
		"restore is what is done when nothing is said": {
			letGo(before("5"), number("7", "7"), ""),
			[]string{
				`db: a Pending: is no longer asked for`,
				`db: a: set "5" as stored since removed; back: set "7" as stored`,
				`let go of db: a`,
			},
		},
		"restore unsets what was not set": {
			letGo(before(""), number("7", "7"), restore),
			[]string{
				`db: a Pending: is no longer asked for`,
				`db: a: unset as stored since removed; back: set "7" as stored`,
				`let go of db: a`,
			},
		},
		"restore sets again what somebody else has unset": {
			letGo(before("5"), number("", "1"), restore),
			[]string{
				`db: a Pending: is no longer asked for`,
				`db: a: set "5" as stored since removed; back: unset as stored`,
				`let go of db: a`,
			},
		},
		"what is back already is let go without a write": {
			letGo(before("5"), number("5", "5"), restore), []string{`let go of db: a`},
		},
		"what is unset already is let go without a write": {
			letGo(before(""), number("", "1"), restore), []string{`let go of db: a`},
		},
		"unset lets the default hold, whatever was there": {
			letGo(before("5"), number("7", "7"), unset),
			[]string{
				`db: a Pending: is no longer asked for`,
				`db: a: unset as stored since removed; back: set "7" as stored`,
				`let go of db: a`,
			},
		},
		"a store that cannot unset gets back what was there": {
			letGo(before("5"), said(number("7", "7"), noUnset), unset),
			[]string{
				`db: a Pending: is no longer asked for`,
				`db: a: set "5" as stored since removed; back: set "7" as stored`,
				`let go of db: a`,
			},
		},
		"a store that cannot unset and has what was there is left alone": {
			letGo(before("7"), said(number("7", "7"), noUnset), unset), []string{`let go of db: a`},
		},
		"a store that cannot unset and had nothing keeps what it has": {
			letGo(before(""), said(number("7", "7"), noUnset), restore), []string{`let go of db: a`},
		},
		"keep leaves it as it is": {
			letGo(before("5"), number("7", "7"), keep), []string{`let go of db: a`},
		},
		"a password is never put back: those who have the new one would be locked out": {
			letGo(live.Entry{Place: app, Before: live.Text("V(old)"), Text: "new"}, live.State{Stored: live.Text("V(new)"), Rule: verifiers{}}, restore),
			[]string{`let go of db: password=app`},
		},
		"a password is never unset either": {
			letGo(live.Entry{Place: app, Before: live.Text("V(old)"), Text: "new"}, live.State{Stored: live.Text("V(new)"), Rule: verifiers{}}, unset),
			[]string{`let go of db: password=app`},
		},
		"what nobody knows cannot be put back": {
			letGo(live.Entry{Place: a, Hidden: true, Text: "7"}, number("7", "7"), restore), []string{`let go of db: a`},
		},
		"a setting that the store no longer has is let go": {
			letGo(before("5"), live.State{Problem: &live.Problem{Cause: live.CauseUnknown, Message: "is unknown"}}, restore),
			[]string{`let go of db: a`},
		},
		"a dangerous setting is given back: it was allowed when it was adopted": {
			letGo(before("5"), said(number("7", "7"), func(s *live.State) {
				s.Problem = &live.Problem{Cause: live.CauseDangerous, Message: "is dangerous"}
			}), restore),
			[]string{
				`db: a Pending: is no longer asked for`,
				`db: a: set "5" as stored since removed; back: set "7" as stored`,
				`let go of db: a`,
			},
		},
		"what cannot be read is not let go": {
			unreadable,
			[]string{
				`db: a Pending: is no longer asked for; waits for LiveStore db, which cannot be used: it is frozen [unreachable]`,
			},
		},
		"what cannot be read and stays as it is may be let go": {
			with(unreadable, policy(lockstepv1alpha1.LivePolicy{OnRemove: keep})), []string{`let go of db: a`},
		},
		"what the store no longer tells is not let go: nobody would know whether it is back": {
			letGo(before("5"), live.State{Hidden: true, Rule: numbers{below: 100}}, restore),
			[]string{
				`db: a Pending: is no longer asked for; waits: the store no longer says what it has, so it cannot be given back [unreachable]`,
			},
		},
	})
}

func TestDecideRefuses(t *testing.T) {
	t.Parallel()

	a := place("a")
	problem := func(cause live.Cause, message string) func(*live.State) {
		return func(s *live.State) { s.Problem = &live.Problem{Cause: cause, Message: message} }
	}
	without := func(cause live.Cause, message string) live.State {
		return live.State{Problem: &live.Problem{Cause: cause, Message: message}}
	}
	allowed := wanted(want(a, "7"), func(w *live.Want) { w.Allowed = true })
	dangerous := said(number("5", "5"), problem(live.CauseDangerous, "can keep the server from starting"))
	restart := func(s *live.State) { s.Restart = true }
	refuse := policy(lockstepv1alpha1.LivePolicy{RestartRequired: lockstepv1alpha1.RestartRefuse})
	adopted := []string{
		`db: a Pending [asked #7]`,
		`adopt db: a for "7", there was "5"`,
		`db: a: set "7" since adopted; back: set "5" as stored`,
	}

	decide(t, map[string]decided{
		"a setting that the store does not have": {
			one(want(a, "7"), without(live.CauseUnknown, "is no setting of PostgreSQL 15")),
			[]string{`db: a Refused: is no setting of PostgreSQL 15 [asked #7]`},
		},
		"a setting that is fixed": {
			one(want(a, "7"), without(live.CauseFixed, "is fixed")), []string{`db: a Refused: is fixed [asked #7]`},
		},
		"a setting that this user may not change": {
			one(want(a, "7"), without(live.CauseDenied, "needs a grant")), []string{`db: a Refused: needs a grant [asked #7]`},
		},
		"a setting with a problem that has no words": {
			one(want(a, "7"), said(number("5", "5"), problem(live.CauseFixed, ""))),
			[]string{`db: a Refused: cannot be changed [asked #7]`},
		},
		"to be allowed by name helps against nothing but danger": {
			one(allowed, said(number("5", "5"), problem(live.CauseFixed, "is fixed"))), []string{`db: a Refused: is fixed [asked #7]`},
		},
		"a dangerous setting, unless it is allowed by name": {
			one(want(a, "7"), dangerous),
			[]string{
				`db: a Refused: can keep the server from starting; if it is to be changed all the same, ` +
					`list it by its name in settings.allow of LiveStore db [asked #7]`,
			},
		},
		"not a dangerous setting that is allowed by name": {one(allowed, dangerous), adopted},
		"a dangerous setting that is allowed and whose value is wrong": {
			one(wanted(allowed, func(w *live.Want) { w.Text = "x" }), dangerous),
			[]string{`db: a Refused: takes whole numbers (the value comes from secret/db[a]) [asked #x]`},
		},
		"a dangerous setting that is allowed and of which nothing else is known": {
			one(allowed, without(live.CauseDangerous, "is dangerous")),
			[]string{`db: a Refused: is not known well enough to be changed [asked #7]`},
		},
		"a setting without a rule": {
			one(want(a, "7"), live.State{Stored: live.Text("5")}),
			[]string{`db: a Refused: is not known well enough to be changed [asked #7]`},
		},
		"a value out of range": {
			one(want(a, "100"), number("5", "5")),
			[]string{`db: a Refused: takes numbers from 0, below 100 (the value comes from secret/db[a]) [asked #100]`},
		},
		"a value out of range that is ours and was there before": {
			with(one(want(a, "100"), number("5", "5")), owning(a, ours("5", "5"))),
			[]string{`db: a Refused: takes numbers from 0, below 100 (the value comes from secret/db[a]) [asked #100]`},
		},
		"a setting that waits for a restart, if that is to be refused": {
			with(one(want(a, "7"), said(number("5", "5"), restart)), refuse),
			[]string{`db: a Refused: takes effect only when the store restarts, and restartRequired is refuse [asked #7]`},
		},
		"a setting that waits for a restart and is stored already, if that is to be refused": {
			with(one(want(a, "7"), said(number("7", "5"), restart)), refuse),
			[]string{`db: a Refused: takes effect only when the store restarts, and restartRequired is refuse [asked #7]`},
		},
		"not a setting that is in force, whatever another value would need": {
			with(one(want(a, "7"), said(number("7", "7"), restart)), refuse, owning(a, ours("7", "7"))),
			[]string{`db: a Applied [asked #7] [applied #7] [stored #7]`},
		},
		"not a setting that waits for a restart, if it is stored and nobody says what runs": {
			with(one(want(a, "7"), said(number("7", ""), restart)), refuse, owning(a, ours("7", "7"))),
			[]string{`db: a Applied [asked #7] [applied #7] [stored #7]`},
		},
		"not a setting that waits for a restart, if it is to be written": {one(want(a, "7"), said(number("5", "5"), restart)), adopted},
		"what was found not to be possible before any store was asked": {
			one(wanted(want(a, "7"), func(w *live.Want) { w.Objection = "is on the list settings.deny of LiveStore db" }), number("5", "5")),
			[]string{`db: a Refused: is on the list settings.deny of LiveStore db [asked #7]`},
		},
		"what somebody else has": {
			one(wanted(want(a, "7"), func(w *live.Want) { w.Lost, w.Objection = true, "is set by LiveConfig b, which is older" }), number("5", "5")),
			[]string{`db: a Refused: is set by LiveConfig b, which is older [asked #7]`},
		},
		"what somebody else has, though nobody says who": {
			one(wanted(want(a, "7"), func(w *live.Want) { w.Lost = true }), number("5", "5")),
			[]string{`db: a Refused: is set by somebody else [asked #7]`},
		},
		"a name that cannot be written down and found again": {
			one(want(password("\xff"), "7"), number("5", "5")),
			[]string{"db: password=\xff Refused: has a name that is not UTF-8 [asked #7]"},
		},
	})
}

func TestDecideWaits(t *testing.T) {
	t.Parallel()

	a := place("a")
	missing := func(objection string) live.Want {
		return live.Want{Place: a, Missing: true, Objection: objection}
	}
	unread := one(want(a, "7"), live.State{})
	unread.States = nil

	decide(t, map[string]decided{
		"for a source that is not there": {
			one(missing("waits: Secret db does not exist"), number("5", "5")),
			[]string{`db: a Pending: waits: Secret db does not exist [missing]`},
		},
		"for a source of which nobody says which": {
			one(missing(""), number("5", "5")), []string{`db: a Pending: waits for its source [missing]`},
		},
		"for a source, also when the setting is ours": {
			with(one(missing("waits: Secret db does not exist"), number("5", "5")), owning(a, ours("5", "5"))),
			[]string{`db: a Pending: waits: Secret db does not exist [missing]`},
		},
		"for a store that cannot be reached": {
			with(unread, func(s *live.Situation) {
				s.Unreachable = map[live.Node]string{{Store: "db"}: "waits for LiveStore db, which cannot be used: it is frozen"}
			}),
			[]string{`db: a Pending: waits for LiveStore db, which cannot be used: it is frozen [asked #7] [unreachable]`},
		},
		"for a store that has not answered": {
			unread, []string{`db: a Pending: waits: the store did not say what it has [asked #7] [unreachable]`},
		},
	})
}

func TestDecideSaysHowFarItIs(t *testing.T) {
	t.Parallel()

	a, app := place("a"), password("app")
	as := func(change func(*live.State)) live.Situation {
		return with(one(want(a, "7"), said(number("7", "5"), change)), owning(a, ours("7", "7")))
	}

	decide(t, map[string]decided{
		"in force": {
			with(one(want(a, "7"), number("7", "7")), owning(a, ours("7", "7"))),
			[]string{`db: a Applied [asked #7] [applied #7] [stored #7]`},
		},
		"in force in another form": {
			with(one(want(a, "7"), number("7", "0007")), owning(a, ours("7", "7"))),
			[]string{`db: a Applied [asked #7] [applied #7] [stored #7]`},
		},
		"stored, and nobody can say what is in force": {
			with(one(want(a, "7"), number("7", "")), owning(a, ours("7", "7"))),
			[]string{`db: a Applied [asked #7] [applied #7] [stored #7]`},
		},
		"stored, and processes still run that take it up when they start": {
			with(one(want(a, "7"), number("7", "")), owning(a, ours("7", "7")), awaiting(a, "client.rgw.a/1", "client.rgw.a/2", "client.rgw.b/3")),
			[]string{`db: a RestartRequired: is stored; restart client.rgw.a, client.rgw.b, which still uses what was there before ` +
				`[asked #7] [applied #7] [stored #7] [awaits client.rgw.a/1 client.rgw.a/2 client.rgw.b/3]`},
		},
		"stored, and what runs has a name without a start": {
			with(one(want(a, "7"), number("7", "")), owning(a, ours("7", "7")), awaiting(a, "gateway")),
			[]string{`db: a RestartRequired: is stored; restart gateway, which still uses what was there before ` +
				`[asked #7] [applied #7] [stored #7] [awaits gateway]`},
		},
		"to be stored, whoever runs": {
			with(one(want(a, "7"), number("5", "")), owning(a, ours("5", "5")), awaiting(a, "client.rgw.a/1")),
			[]string{`db: a Pending [asked #7]`, `db: a: set "7" since changed; back: set "5" as stored`},
		},
		"stored, and outranked": {
			as(func(s *live.State) { s.ShadowedBy = "the configuration file of mon.a" }),
			[]string{`db: a Shadowed: is stored, but the configuration file of mon.a outranks it; remove it there [asked #7] [applied #7] [stored #7]`},
		},
		"stored, outranked, and waiting for a restart that would not help": {
			as(func(s *live.State) { s.ShadowedBy, s.Restart = "the command line", true }),
			[]string{`db: a Shadowed: is stored, but the command line outranks it; remove it there [asked #7] [applied #7] [stored #7]`},
		},
		"outranked by what is the same": {
			with(one(want(a, "7"), said(number("7", "7"), func(s *live.State) { s.ShadowedBy = "the command line" })), owning(a, ours("7", "7"))),
			[]string{`db: a Applied [asked #7] [applied #7] [stored #7]`},
		},
		"stored, and only a restart puts it in force": {
			as(func(s *live.State) { s.Restart = true }),
			[]string{`db: a RestartRequired: is stored; restart the store for it to take effect [asked #7] [applied #7] [stored #7]`},
		},
		"stored, and waiting for a restart": {
			as(func(s *live.State) { s.RestartPending = true }),
			[]string{`db: a RestartRequired: is stored; restart the store for it to take effect [asked #7] [applied #7] [stored #7]`},
		},
		"shown as in force, but the store says that it waits for a restart": {
			with(one(want(a, "7"), said(number("7", "7"), func(s *live.State) { s.RestartPending = true })), owning(a, ours("7", "7"))),
			[]string{`db: a RestartRequired: is stored; restart the store for it to take effect [asked #7] [applied #7] [stored #7]`},
		},
		"hidden, and waiting for a restart": {
			with(one(want(app, "new"), live.State{Hidden: true, RestartPending: true, Rule: verifiers{}}), owning(app, ours("new", ""))),
			[]string{`db: password=app RestartRequired: is stored; restart the store for it to take effect [asked #new] [applied #new] [stored #]`},
		},
		"stored, and not used for no reason that is known": {
			as(func(*live.State) {}),
			[]string{`db: a Pending: is stored, but the store does not use it [asked #7] [applied #7] [stored #7]`},
		},
		"adopted as it was found, and not used": {
			one(want(a, "7"), number("7", "5")),
			[]string{
				`db: a Pending: is stored, but the store does not use it [asked #7] [applied #7] [stored #7]`,
				`adopt db: a for "7", there was "7"`,
			},
		},
	})
}

func TestDecideAfterAChangeThatWasCutOff(t *testing.T) {
	t.Parallel()

	a, app := place("a"), password("app")
	bestEffort := policy(lockstepv1alpha1.LivePolicy{Atomicity: lockstepv1alpha1.AtomicBestEffort})

	decide(t, map[string]decided{
		"what it has adopted and not written goes back to what it found": {
			with(one(want(a, "7"), number("5", "5")), cutOff(live.Entry{Place: a, Before: live.Text("5"), Text: "7"})),
			[]string{
				`db: a Pending [asked #7]`,
				`adopt db: a for "7", there was "5"`,
				`db: a: set "7" since adopted; back: set "5" as stored`,
			},
		},
		"what it has written is no longer what was there before": {
			with(one(want(a, "8"), number("7", "7")), cutOff(live.Entry{Place: a, Before: live.Text("5"), Text: "7"})),
			[]string{
				`db: a Pending [asked #8]`,
				`adopt db: a for "8", there was "5"`,
				`db: a: set "8" since adopted; back: set "5" as stored`,
			},
		},
		"what it has written is not written again, and goes back with the rest": {
			with(one(want(a, "7"), number("7", "7")), cutOff(live.Entry{Place: a, Text: "7"})),
			[]string{
				`db: a Applied [asked #7] [applied #7] [stored #7]`,
				`adopt db: a for "7", there was nothing`,
				`made: db: a: set "7" since adopted; back: unset as stored`,
			},
		},
		"what it has written of what was ours goes back to the record": {
			with(one(want(a, "7"), number("7", "7")), cutOff(live.Entry{Place: a, Before: live.Text("1"), Text: "7"}), owning(a, ours("5", "5"))),
			[]string{
				`db: a Applied [asked #7] [applied #7] [stored #7]`,
				`made: db: a: set "7" since changed; back: from the record`,
			},
		},
		"with best effort what it has written stands for itself": {
			with(one(want(a, "7"), number("7", "7")), cutOff(live.Entry{Place: a, Text: "7"}), bestEffort),
			[]string{
				`db: a Applied [asked #7] [applied #7] [stored #7]`,
				`adopt db: a for "7", there was nothing`,
			},
		},
		"what was there already when it began stays": {
			with(one(want(a, "7"), number("7", "7")), cutOff(live.Entry{Place: a, Before: live.Text("7"), Text: "7"})),
			[]string{
				`db: a Applied [asked #7] [applied #7] [stored #7]`,
				`adopt db: a for "7", there was "7"`,
			},
		},
		"what is ours and was there already stays": {
			with(one(want(a, "7"), number("7", "7")), cutOff(live.Entry{Place: a, Before: live.Text("1"), Text: "7"}), owning(a, ours("7", "7"))),
			[]string{`db: a Applied [asked #7] [applied #7] [stored #7]`},
		},
		"what somebody else has put there since, and is asked for now, was not made by it": {
			with(one(want(a, "8"), number("8", "8")), cutOff(live.Entry{Place: a, Before: live.Text("5"), Text: "7"})),
			[]string{
				`db: a Applied [asked #8] [applied #8] [stored #8]`,
				`adopt db: a for "8", there was "5"`,
			},
		},
		"half of it is no drift: nobody else has been there": {
			with(one(want(a, "5"), number("7", "7")), cutOff(live.Entry{Place: a, Before: live.Text("1"), Text: "7"}), owning(a, ours("5", "5")),
				policy(lockstepv1alpha1.LivePolicy{OnDrift: lockstepv1alpha1.DriftReport})),
			[]string{
				`db: a Pending [asked #5]`,
				`db: a: set "5" since changed; back: from the record`,
			},
		},
		"what is neither half of it nor ours is drift": {
			with(one(want(a, "5"), number("8", "8")), cutOff(live.Entry{Place: a, Before: live.Text("1"), Text: "7"}), owning(a, ours("5", "5"))),
			[]string{
				`db: a Pending [asked #5]`,
				`db: a: set "5" since drifted; back: set "8" as stored`,
			},
		},
		"what it has begun to adopt and nobody asks for any more is given back, and stays so": {
			with(letGo(live.Entry{Place: place("b"), Before: live.Text("1"), Text: "7"}, number("7", "7"), ""),
				cutOff(live.Entry{Place: a, Before: live.Text("5"), Text: "7"}, live.Entry{Place: place("b"), Before: live.Text("1"), Text: "7"}),
				func(s *live.Situation) { s.States[a] = number("7", "7") }),
			[]string{
				`db: b Pending: is no longer asked for`,
				`db: a Pending: is no longer asked for`,
				`db: b: set "1" as stored since removed; back: set "7" as stored`,
				`db: a: set "5" as stored since removed; back: set "5" as stored`,
				`let go of db: b`,
				`let go of db: a`,
			},
		},
		"what was never in force is given back, also where what was in force is kept": {
			with(live.Situation{States: map[live.Place]live.State{a: number("7", "7")}, Digest: readable},
				cutOff(live.Entry{Place: a, Text: "7"}), policy(lockstepv1alpha1.LivePolicy{OnRemove: lockstepv1alpha1.RemoveKeep})),
			[]string{
				`db: a Pending: is no longer asked for`,
				`db: a: unset as stored since removed; back: unset as stored`,
				`let go of db: a`,
			},
		},
		"what it has not come to is let go": {
			with(live.Situation{States: map[live.Place]live.State{a: number("5", "5")}, Digest: readable},
				cutOff(live.Entry{Place: a, Before: live.Text("5"), Text: "7"})),
			[]string{`let go of db: a`},
		},
		"what it has begun to adopt and cannot be read is not let go": {
			with(live.Situation{Digest: readable}, cutOff(live.Entry{Place: a, Before: live.Text("5"), Text: "7"})),
			[]string{`db: a Pending: is no longer asked for; waits: the store did not say what it has [unreachable]`},
		},
		"what it could not see is known no better now": {
			with(one(want(app, "new"), live.State{Stored: live.Text("V(half)"), Rule: verifiers{}}), cutOff(live.Entry{Place: app, Hidden: true, Text: "half"})),
			[]string{
				`db: password=app Pending [asked #new]`,
				`adopt db: password=app for "new", there was something hidden`,
				`db: password=app: set "new" since adopted; back: from the record`,
			},
		},
	})
}
