package live_test

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
)

// keeper keeps settings live in a world by the rules of this package: it reads, decides, records, writes, reads back and
// brings back, and may die anywhere in between.
type keeper struct {
	*world
	rapid.TB

	// roll decides what fails, and where it dies. Digest is that of the status, say tells what happens.
	roll   dice
	digest func(text string) string
	say    func(format string, args ...any)

	policy lockstepv1alpha1.LivePolicy
	wants  []live.Want

	// These outlive it: what the status says to be ours, the newest change, and the records.
	status   map[live.Place]live.Owned
	revision int64
	newest   int64
	outcome  lockstepv1alpha1.ChangeOutcome
	records  map[int64][]byte

	// back is lost when it dies: what a change that failed has to come back to.
	back []live.Target
	// returned are the places that the last change which was taken back came back to.
	returned map[live.Place]bool
}

func newKeeper(t rapid.TB, w *world, roll dice) *keeper {
	return &keeper{
		world: w, TB: t, roll: roll, digest: digest, say: t.Logf,
		status: map[live.Place]live.Owned{}, records: map[int64][]byte{}, outcome: lockstepv1alpha1.ChangeApplied,
	}
}

// digest is one that has nothing of its text.
func digest(text string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))

	return fmt.Sprintf("%016x", h.Sum64())
}

// died is thrown where the keeper dies.
type died struct{}

// mayDie is a place between two writes.
func (k *keeper) mayDie(where string) {
	const sides = 15

	if k.roll("dies "+where, sides) == sides-1 {
		k.say("it dies %s", where)
		panic(died{})
	}
}

// pass is one look at everything. It returns false when there was nothing to do.
func (k *keeper) pass() (acted bool) {
	defer func() {
		switch r := recover(); r.(type) {
		case nil:
		case died:
			k.back, acted = nil, true
		default:
			panic(r)
		}
	}()

	switch k.outcome {
	case lockstepv1alpha1.ChangeRollingBack:
		k.comeBack()

		return true
	case lockstepv1alpha1.ChangeHeld:
		return false // until something else is asked for
	case lockstepv1alpha1.ChangeApplied, lockstepv1alpha1.ChangeRolledBack:
	}

	s := k.situation()
	plan := live.Decide(s)
	k.say("revision %d, records %v: decides", k.revision, slices.Sorted(maps.Keys(k.records)))
	k.say("\t%s", cmp.Or(strings.Join(told(plan), "\n\t"), "that there is nothing to do"))
	lawful(k, s, plan)

	if _, blocked := plan.Blocked(); blocked && k.policy.Atomicity != lockstepv1alpha1.AtomicBestEffort {
		k.tell(plan.Findings)

		return false
	}

	if k.roll("waits", 10) == 9 {
		k.tell(plan.Held().Findings)

		return false
	}

	if len(plan.Steps) > 0 {
		k.change(s, plan)

		return true
	}

	return k.found(s, plan)
}

// situation is what there is to decide about.
func (k *keeper) situation() live.Situation {
	s := live.Situation{
		Wants: k.wants, Owned: map[live.Place]live.Owned{}, CutOff: k.cutOff(), Policy: k.policy, Digest: k.digest,
	}

	for _, w := range k.wants {
		if o, ours := k.status[w.Place]; ours {
			s.Owned[w.Place] = o
		}
	}

	for _, e := range k.record(k.revision).Entries {
		if !k.wanted(e.Place) {
			s.Released = append(s.Released, e)
		}
	}

	s.States, s.Unreachable = k.look()

	return s
}

func (k *keeper) wanted(p live.Place) bool {
	return slices.ContainsFunc(k.wants, func(w live.Want) bool { return w.Place == p })
}

// look reads every place that matters.
func (k *keeper) look() (map[live.Place]live.State, map[live.Node]string) {
	var places []live.Place

	for _, w := range k.wants {
		if w.Objection == "" {
			places = append(places, w.Place)
		}
	}

	for _, e := range k.record(k.revision).With(k.cutOff().Entries).Entries {
		places = append(places, e.Place)
	}

	for _, target := range k.back {
		places = append(places, target.Place)
	}

	return k.read(places)
}

func (k *keeper) record(revision int64) live.Record {
	content, there := k.records[revision]
	if !there {
		return live.Record{}
	}

	r, err := live.DecodeRecord(content)
	if err != nil || r.Revision != revision {
		k.Fatalf("the record of revision %d: %+v, %v", revision, r, err)
	}

	return r
}

func (k *keeper) keep(r live.Record) {
	if _, there := k.records[r.Revision]; there {
		k.Fatalf("revision %d has a record", r.Revision)
	}

	content, err := r.Encode()
	if err != nil {
		k.Fatal(err)
	}

	k.records[r.Revision] = content
}

// cutOff is what was recorded ahead and never came into force, the newest first.
func (k *keeper) cutOff() live.Record {
	var all live.Record

	for _, revision := range slices.Backward(slices.Sorted(maps.Keys(k.records))) {
		if revision > k.revision {
			all = all.With(k.record(revision).Entries)
		}
	}

	return all
}

func (k *keeper) newestRecord() int64 {
	var newest int64
	for r := range k.records {
		newest = max(newest, r)
	}

	return newest
}

func (k *keeper) nextRevision() int64 { return max(k.revision, k.newest, k.newestRecord()) + 1 }

// nextRecord is what the next revision asks for, and what could not be let go of yet.
func (k *keeper) nextRecord(plan live.Plan) live.Record {
	possible := map[live.Place]bool{}
	for _, f := range plan.Findings {
		possible[f.Place] = f.State != lockstepv1alpha1.SettingRefused && !f.Missing && !f.Unreachable
	}

	wants := slices.DeleteFunc(slices.Clone(k.wants), func(w live.Want) bool { return !possible[w.Place] })
	last := k.record(k.revision)
	left := slices.DeleteFunc(last.With(k.cutOff().Entries).Entries, func(e live.Entry) bool {
		return slices.Contains(plan.Drop, e.Place)
	})

	return last.Next(k.nextRevision(), wants, plan.Adopt).With(left)
}

// found records what is in force already, or has only to be let go of.
func (k *keeper) found(s live.Situation, plan live.Plan) bool {
	known := map[live.Place]live.Owned{}
	for _, f := range plan.Findings {
		if f.Applied != "" {
			known[f.Place] = live.Owned{Applied: f.Applied, Stored: f.Stored}
		}
	}

	news := len(plan.Adopt)+len(plan.Drop) > 0
	for p, o := range known {
		news = news || s.Owned[p].Applied != o.Applied
	}

	if !news {
		return false
	}

	record := k.nextRecord(plan)
	k.keep(record)
	k.mayDie("after it has recorded what it found")
	k.inForce(record.Revision, plan.Findings)

	return true
}

// inForce tells that a revision is.
func (k *keeper) inForce(revision int64, findings []live.Finding) {
	k.say("revision %d is in force", revision)
	k.tell(findings)
	k.revision, k.newest, k.outcome = revision, revision, lockstepv1alpha1.ChangeApplied

	maps.DeleteFunc(k.records, func(r int64, _ []byte) bool { return r < revision })
}

// tell writes the status.
func (k *keeper) tell(findings []live.Finding) {
	status := map[live.Place]live.Owned{}

	for _, f := range findings {
		o, ours := k.status[f.Place]
		if f.Applied != "" {
			o, ours = live.Owned{Applied: f.Applied, Stored: f.Stored}, true
		}

		if ours {
			status[f.Place] = o
		}
	}

	k.status = status
}

// change carries a plan out.
func (k *keeper) change(s live.Situation, plan live.Plan) {
	record := k.nextRecord(plan)

	if len(plan.Adopt) > 0 {
		k.keep(record)
		k.mayDie("before the first write")
	}

	begun, err := k.advance(plan.Steps)
	if err == nil {
		if after := k.verify(s); !k.unmet(plan, after) {
			if len(plan.Adopt) == 0 {
				k.keep(record)
			}

			k.mayDie("before it tells")
			k.inForce(record.Revision, after.Findings)

			return
		}
	}

	k.mayDie("before it goes back")

	k.tell(plan.Held().Findings)
	k.newest = record.Revision

	if k.policy.OnFailure == lockstepv1alpha1.FailureHold {
		k.outcome = lockstepv1alpha1.ChangeHeld
		k.say("revision %d has failed, and all is left as it is", k.newest)

		return
	}

	k.say("revision %d has failed, and goes back", k.newest)
	k.back, _ = live.WayBack(slices.Concat(plan.Made, begun), k.record(k.revision))
	k.outcome = k.returnTo()
}

func (k *keeper) advance(steps []live.Step) (begun []live.Step, err error) {
	for _, batch := range live.Batches(live.Forward(steps)) {
		for _, step := range steps {
			if live.NodeOf(step.Place) == batch.Node {
				begun = append(begun, step)
			}
		}

		if err := k.write(batch); err != nil {
			return begun, err
		}

		k.mayDie("after a node")
	}

	return begun, nil
}

func (k *keeper) write(batch live.Batch) error {
	var changes []string
	for _, c := range batch.Changes {
		changes = append(changes, c.Setting.ID()+": "+toldChange(c))
	}

	err := k.apply(k.roll, batch.Node, batch.Changes, drawFate(k.roll))

	said := "done"
	if err != nil {
		said = err.Error()
	}

	k.say("writes to %s: %s; %s", strings.TrimSpace(batch.Store+" "+batch.Name), strings.Join(changes, ", "), said)

	return err
}

// verify decides once more, as if everything had been applied.
func (k *keeper) verify(s live.Situation) live.Plan {
	s.States, s.Unreachable = k.look()
	s.Owned = map[live.Place]live.Owned{}

	for _, w := range s.Wants {
		s.Owned[w.Place] = live.Owned{Applied: k.digest(w.Text)}
	}

	s.Policy.Atomicity, s.Policy.OnDrift = lockstepv1alpha1.AtomicBestEffort, lockstepv1alpha1.DriftCorrect

	return live.Decide(s)
}

// unmet says whether a step of a plan is not in force.
func (*keeper) unmet(plan, after live.Plan) bool {
	return slices.ContainsFunc(plan.Steps, func(step live.Step) bool {
		return slices.ContainsFunc(after.Steps, func(s live.Step) bool { return s.Place == step.Place }) ||
			slices.ContainsFunc(after.Findings, func(f live.Finding) bool {
				return f.Place == step.Place && f.State != lockstepv1alpha1.SettingApplied
			})
	})
}

// returnTo brings back what is not back yet.
func (k *keeper) returnTo() lockstepv1alpha1.ChangeOutcome {
	states, _ := k.look()
	left, _ := live.Returning(k.back, states)
	written := map[live.Node]bool{}

	for _, batch := range live.Batches(left) {
		written[batch.Node] = k.write(batch) == nil
		k.mayDie("on the way back")
	}

	states, _ = k.look()
	left, unread := live.Returning(k.back, states)

	// What a server does not tell is back once it has taken it.
	left = slices.DeleteFunc(left, func(target live.Target) bool {
		return states[target.Place].Hidden && written[live.NodeOf(target.Place)]
	})

	if len(left)+len(unread) > 0 {
		k.say("not everything is back")

		return lockstepv1alpha1.ChangeRollingBack
	}

	k.say("everything is back")

	if k.newest != k.revision {
		delete(k.records, k.newest)
	}

	k.returned = map[live.Place]bool{}
	for _, target := range k.back {
		k.returned[target.Place] = true
	}

	k.back = nil

	return lockstepv1alpha1.ChangeRolledBack
}

// comeBack goes on with the way back, also that of a keeper that has died.
func (k *keeper) comeBack() {
	if k.back == nil {
		k.back = live.LastGood(k.record(k.revision), k.record(k.newest))
	}

	k.outcome = k.returnTo()
}

// ask asks for something else.
func (k *keeper) ask(wants []live.Want) {
	k.wants = wants

	if k.outcome == lockstepv1alpha1.ChangeHeld {
		k.outcome = lockstepv1alpha1.ChangeRolledBack
	}
}

// recorded are the places that are ours, or were about to be.
func (k *keeper) recorded() map[live.Place]bool {
	places := map[live.Place]bool{}

	for revision := range k.records {
		for _, e := range k.record(revision).Entries {
			places[e.Place] = true
		}
	}

	return places
}
