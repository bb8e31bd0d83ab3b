package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// state is how far a workload has come.
type state string

const (
	// waiting: what it reads has changed, its pod template has not.
	waiting state = "waiting"
	// written: the template has changed and no pod follows it yet.
	written state = "written"
	// rolling: some pods are of the new revision, not all of them are there and Ready.
	rolling state = "rolling"
	// moved: every pod is of one new revision and Ready. For a CronJob: one new Job has completed.
	moved state = "moved"
	// untouched: nothing that it reads has changed, nor has it.
	untouched state = "untouched"
	// disturbed: nothing that it reads has changed, and it has all the same.
	disturbed state = "disturbed"
)

// tally counts pods of one revision. A Job counts as one pod, which is Ready when the Job is complete.
type tally struct{ all, ready int }

// observation is a workload as it was at one moment.
type observation struct {
	generation int64
	template   corev1.PodTemplateSpec
	// runs is set for a CronJob: a change makes a Job, and the earlier ones stay.
	runs bool
	// want is how many pods it should have.
	want int
	// revisions are the pods by the revision that they are of, for a CronJob the Jobs by name.
	revisions map[string]tally
}

// settled tells whether all pods are there, Ready and of one revision.
func (o *observation) settled() bool {
	if o.runs {
		return true
	}
	for _, t := range o.revisions {
		return len(o.revisions) == 1 && o.want > 0 && t.all == o.want && t.ready == o.want
	}

	return false
}

// row is a workload in one chapter of the story.
type row struct {
	workload  string
	dependent bool
	// before is the workload when the change was made, now as it was seen last.
	before, now *observation
	state       state
	// written and moved are how long after the change it was seen to be; zero for not yet.
	written, moved time.Duration
}

func newRow(workload string, dependent bool, before *observation) *row {
	r := &row{workload: workload, dependent: dependent, before: before, now: before}
	r.state = r.judge()

	return r
}

// observe takes note of the workload as it is, so long after the change, and tells whether its state is another now.
func (r *row) observe(now *observation, since time.Duration) bool {
	former := r.state
	r.now = now
	r.state = r.judge()
	if r.dependent && r.state != waiting && r.written == 0 {
		r.written = since
	}
	switch {
	case r.state != moved:
		r.moved = 0
	case r.moved == 0:
		r.moved = since
	}

	return r.state != former
}

func (r *row) judge() state {
	changed := !equality.Semantic.DeepEqual(r.before.template, r.now.template)
	fresh := r.fresh()
	if !r.dependent {
		if changed || len(fresh) > 0 || r.now.generation != r.before.generation {
			return disturbed
		}

		return untouched
	}
	if r.now.runs {
		// The CronJob itself stays as it is.
		changed = len(fresh) > 0
	}
	switch {
	case !changed:
		return waiting
	case len(fresh) == 0:
		return written
	case len(fresh) == 1 && r.freshReady() == r.now.want && r.now.settled():
		return moved
	default:
		return rolling
	}
}

// fresh are the revisions that were not there before the change, sorted.
func (r *row) fresh() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(r.now.revisions)), func(revision string) bool {
		_, old := r.before.revisions[revision]

		return old
	})
}

// freshReady counts the Ready pods of new revisions.
func (r *row) freshReady() int {
	ready := 0
	for _, revision := range r.fresh() {
		ready += r.now.revisions[revision].ready
	}

	return ready
}

// writes is how often the change was carried: once is right.
func (r *row) writes() int {
	if r.now.runs {
		return len(r.fresh())
	}

	return int(r.now.generation - r.before.generation)
}

// problem says what is wrong with where the workload is; empty when nothing is.
func (r *row) problem() string {
	switch {
	case r.state == disturbed:
		return fmt.Sprintf("%s has changed, and nothing that it reads did (generation %d → %d, revision %s)",
			r.workload, r.before.generation, r.now.generation, r.revision())
	case !r.dependent:
		return ""
	case r.writes() > 1:
		return fmt.Sprintf("%s was carried the change %d times", r.workload, r.writes())
	case r.state != moved:
		return fmt.Sprintf("%s has not moved: it is %s, with %d of %d new and Ready",
			r.workload, r.state, r.freshReady(), r.now.want)
	default:
		return ""
	}
}

// revision is what the table shows of the revisions.
func (r *row) revision() string {
	fresh := strings.Join(r.fresh(), ", ")
	if r.now.runs {
		if fresh == "" {
			return "-"
		}

		return "new Job " + fresh
	}
	old := strings.Join(slices.Sorted(maps.Keys(r.before.revisions)), ", ")
	if fresh == "" {
		return old
	}

	return old + " → " + fresh
}

// table is one chapter: everything that depends on what changed, and everything that does not.
type table []*row

func newTable(members []member, changed source, before world) table {
	t := make(table, len(members))
	for i, m := range members {
		t[i] = newRow(m.String(), m.reads(changed), before[m.name])
	}

	return t
}

// observe takes note of the application as it is, and returns the rows whose state is another now. A workload that
// is not there stays as it was seen last.
func (t table) observe(members []member, now world, since time.Duration) []*row {
	var news []*row
	for i, m := range members {
		if o := now[m.name]; o != nil && t[i].observe(o, since) {
			news = append(news, t[i])
		}
	}

	return news
}

// done tells whether every dependent has moved.
func (t table) done() bool {
	return !slices.ContainsFunc(t, func(r *row) bool { return r.dependent && r.state != moved })
}

// problems are what is wrong, one line each.
func (t table) problems() []string {
	var problems []string
	for _, r := range t {
		if p := r.problem(); p != "" {
			problems = append(problems, p)
		}
	}

	return problems
}

// count returns how many depend on what changed, and how many do not.
func (t table) count() (dependents, bystanders int) {
	for _, r := range t {
		if r.dependent {
			dependents++
		}
	}

	return dependents, len(t) - dependents
}

// last is when the last of the dependents had moved.
func (t table) last() time.Duration {
	var last time.Duration
	for _, r := range t {
		last = max(last, r.moved)
	}

	return last
}
