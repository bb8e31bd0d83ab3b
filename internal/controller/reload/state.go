package reload

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
)

// state is what is known: the sources, the workloads, who reads what, and what has still to be carried where.
// It is safe for concurrent use. It makes no request. What parses annotations for it runs with the lock held, and must not call it.
type state struct {
	index *refs.Index[workload.Ref]

	mu        sync.Mutex
	sources   map[refs.Key]*origin
	workloads map[workload.Ref]*tracked
	// open counts the workloads that have still to carry a source, waiting those that have to carry any.
	open    map[refs.Key]int
	waiting int
	// settledAll is closed while nobody has anything to carry.
	settledAll chan struct{}
	ended      bool
	// moved is the version at which a source's content last changed while we watched.
	moved map[refs.Key]uint64
	live  bool
	// lenders are the Deployments whose pod template a Rollout borrows, with that Rollout.
	lenders map[workload.Ref]workload.Ref
	// classes are the annotations of SecretProviderClasses.
	classes map[refs.Key]marks
	// selected are the namespaces that the scope's selector matches.
	selected map[string]bool
	// unfinished are the stand-ins of what a crash, or a slow deletion, left half done.
	unfinished map[workload.Ref]bool
	// held counts the changes of a source that are known and not yet marked: the baseline must not have them.
	held map[refs.Key]int
	// early holds the former content of what changed before everything was listed; nil for what was not there.
	early map[refs.Key]*digest.Content
}

// tracked is one workload that somebody opted in.
type tracked struct {
	observed *workload.Observed
	// lender is the Deployment that lends its pod template to a Rollout; nil for all others, and until it is read.
	lender  *workload.Observed
	policy  *reload.Policy
	carried reload.Carried
	causes  map[refs.Key]cause
}

func newState() *state {
	idle := make(chan struct{})
	close(idle)

	return &state{
		settledAll: idle,
		index:      refs.NewIndex[workload.Ref](),
		sources:    map[refs.Key]*origin{},
		workloads:  map[workload.Ref]*tracked{},
		open:       map[refs.Key]int{},
		moved:      map[refs.Key]uint64{},
		early:      map[refs.Key]*digest.Content{},
		held:       map[refs.Key]int{},

		classes:    map[refs.Key]marks{},
		selected:   map[string]bool{},
		unfinished: map[workload.Ref]bool{},
		lenders:    map[workload.Ref]workload.Ref{},
	}
}

// put keeps a source, or forgets it where it is nil. Before everything is listed it remembers the former content
// of what changes, for begin.
func (s *state) put(key refs.Key, o *origin, initial bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.keep(key, o, initial)
}

// keep is put, called with the lock held.
func (s *state) keep(key refs.Key, o *origin, initial bool) {
	former := s.sources[key]
	if o == nil {
		delete(s.sources, key)
		delete(s.moved, key)
	} else {
		s.sources[key] = o
	}

	if initial {
		return
	}

	if o != nil && former != nil && o.content.Whole != former.content.Whole {
		s.moved[key] = version(o.resourceVersion)
	}

	if s.live && !sameContent(o, former) {
		s.held[key]++
	}

	if _, known := s.early[key]; !s.live && !known {
		s.early[key] = contentOf(former)
	}
}

func contentOf(o *origin) *digest.Content {
	if o == nil {
		return nil
	}

	return &o.content
}

// begin ends the start: from now on a change is marked as it happens. It returns what changed until now, with
// the former content.
func (s *state) begin() map[refs.Key]*digest.Content {
	s.mu.Lock()
	defer s.mu.Unlock()

	early := s.early
	s.live, s.early = true, nil

	return early
}

func (s *state) isLive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.live
}

// markHeld is mark for a change that put held back from the baseline: from now on its causes do.
func (s *state) markHeld(c cause) []workload.Ref {
	marked := s.mark(c)
	s.release(c.key)

	return marked
}

// release ends what put began: the change is marked, or is none.
func (s *state) release(key refs.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.held[key]--; s.held[key] <= 0 {
		delete(s.held, key)
	}
}

// mark notes that the source has to be carried to everything that depends on it, and returns who that is.
func (s *state) mark(c cause) []workload.Ref {
	dependents := s.index.Dependents(c.key)

	s.mu.Lock()
	defer s.mu.Unlock()

	marked := dependents[:0]

	for _, ref := range dependents {
		if s.markOne(ref, c) {
			marked = append(marked, ref)
		}
	}

	return marked
}

// markOne is called with the lock held.
func (s *state) markOne(ref workload.Ref, c cause) bool {
	t := s.workloads[ref]
	if t == nil {
		return false
	}

	if known, already := t.causes[c.key]; already {
		// What the workload last had is what it had before the first of the changes.
		c.from, c.seen, c.unsure, c.tried = known.from, known.seen, known.unsure || c.unsure, known.tried
	} else {
		s.open[c.key]++

		if moved := s.moved[c.key]; moved > 0 && version(t.observed.ResourceVersion) > moved {
			c.unsure = true
		}
	}

	if len(t.causes) == 0 {
		t.causes = map[refs.Key]cause{}
		s.wait(1)
	}

	t.causes[c.key] = c

	return true
}

// observe keeps a workload as it is now. It returns whether it has something to be done, and the sources of which
// something else has to be recorded than before.
func (s *state) observe(o *workload.Observed, parse func(*workload.Observed) *reload.Policy) (due bool, added []refs.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.workloads[o.Ref]
	if t != nil && version(o.ResourceVersion) < version(t.observed.ResourceVersion) {
		// From before our own write, which we know already, or of a workload that this one replaced.
		return false, nil
	}

	if t == nil || t.observed.UID != o.UID {
		return s.meet(o, parse)
	}

	former := t.observed
	t.observed = o

	if former.TemplateOf != o.TemplateOf {
		t.lender = nil // another one's, to be read anew
	}

	if !former.SameAnnotations(o) {
		t.policy = parse(t.effective())

		if t.recall(o) {
			s.revise(t)
		}
	}

	if !former.SameAnnotations(o) || !slices.Equal(former.Uses, o.Uses) || former.TemplateOf != o.TemplateOf {
		added = s.connect(t)
	}

	if !former.SameAnnotations(o) {
		// What it counts of its sources may be something else now.
		added = s.dependsOn(o.Ref)
	}

	return len(t.causes) > 0, added
}

// meet begins to track a workload. What an older one of the name had still to carry went with it.
func (s *state) meet(o *workload.Observed, parse func(*workload.Observed) *reload.Policy) (due bool, added []refs.Key) {
	settled := s.drop(o.Ref)

	t := &tracked{observed: o, policy: parse(o)}
	t.recall(o)
	s.workloads[o.Ref] = t
	added = append(s.connect(t), settled...)

	if s.live {
		s.catchUp(t, s.dependsOn(o.Ref))
	}

	return len(t.causes) > 0, added
}

// recall takes note of what the workload's own annotation says that it carries, unless we know something newer. It
// tells whether that was news.
func (t *tracked) recall(o *workload.Observed) bool {
	carried, err := reload.ParseCarried(o.Annotations[reload.CarriedKey])
	if err != nil || carried.At.Before(t.carried.At) {
		return false
	}

	news := carried.At.After(t.carried.At)
	t.carried = carried

	return news
}

// revise marks what the workload carries otherwise than we thought: a write that seemed to fail was done all the
// same, perhaps with content that was taken back since.
func (s *state) revise(t *tracked) {
	for _, key := range s.dependsOn(t.observed.Ref) {
		o, carried := s.sources[key], t.carried.Sources[key.Local()]
		if o != nil && !carried.IsZero() && carried != o.content.Select(t.policy.KeysOf(key)) {
			s.markOne(t.observed.Ref, cause{key: key, unsure: true})
		}
	}
}

// connect notes what the workload depends on, and returns what it did not depend on before.
func (s *state) connect(t *tracked) []refs.Key {
	o := t.effective()
	if o.TemplateOf != "" {
		s.lenders[lenderOf(o)] = o.Ref
	}

	former := s.dependsOn(o.Ref)
	s.index.Set(o.Ref, t.policy.Edges(o.Namespace, o.Uses))

	return slices.DeleteFunc(s.dependsOn(o.Ref), func(k refs.Key) bool { return slices.Contains(former, k) })
}

// dependsOn are the sources that the workload depends on: those that it names, and those that exist and match what
// it asks for. Before everything is listed nobody asks for the latter, and they are left out.
func (s *state) dependsOn(ref workload.Ref) []refs.Key {
	edges := s.index.Edges(ref)
	if len(edges.Patterns) == 0 || !s.live {
		return edges.Keys
	}

	for key := range s.sources {
		if !slices.Contains(edges.Keys, key) && slices.ContainsFunc(edges.Patterns, func(p refs.Pattern) bool {
			return p.Kind == key.Kind && p.Namespace == key.Namespace && p.Regexp.MatchString(key.Name)
		}) {
			edges.Keys = append(edges.Keys, key)
		}
	}

	return edges.Keys
}

// effective is the workload as a decision sees it: a Rollout that borrows its pod template reads what that reads.
func (t *tracked) effective() *workload.Observed {
	if t.lender == nil {
		return t.observed
	}

	o := *t.observed
	o.TemplateAnnotations, o.Uses = t.lender.TemplateAnnotations, t.lender.Uses
	o.FirstContainer, o.Variables = t.lender.FirstContainer, t.lender.Variables

	return &o
}

func lenderOf(o *workload.Observed) workload.Ref {
	return workload.Ref{Kind: workload.Deployment, Namespace: o.Namespace, Name: o.TemplateOf}
}

// lends tells whether some Rollout borrows the workload's pod template.
func (s *state) lends(ref workload.Ref) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	_, yes := s.lenders[ref]

	return yes
}

// lacks tells whether a Rollout borrows a pod template that nobody has read yet, and whose.
func (s *state) lacks(ref workload.Ref) (workload.Ref, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.workloads[ref]
	if t == nil || t.observed.TemplateOf == "" || t.lender != nil {
		return workload.Ref{}, false
	}

	return lenderOf(t.observed), true
}

// lend gives a Deployment's pod template to the Rollout that borrows it, and returns that one if it has
// something to be done, and the sources that it refers to now and did not before.
func (s *state) lend(lender *workload.Observed, parse func(*workload.Observed) *reload.Policy) (due []workload.Ref, added []refs.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.workloads[s.lenders[lender.Ref]]
	if t == nil || lenderOf(t.observed) != lender.Ref {
		return nil, nil
	}

	t.lender = lender
	t.policy = parse(t.effective())

	t.recall(lender)
	added = s.connect(t)

	if s.live {
		s.catchUp(t, added)
	}

	if len(t.causes) == 0 {
		return nil, added
	}

	return []workload.Ref{t.observed.Ref}, added
}

// lacking are the Rollouts whose borrowed pod template nobody has read yet.
func (s *state) lacking() []workload.Ref {
	s.mu.Lock()
	defer s.mu.Unlock()

	var lacking []workload.Ref

	for ref, t := range s.workloads {
		if t.observed.TemplateOf != "" && t.lender == nil {
			lacking = append(lacking, ref)
		}
	}

	return lacking
}

// catchUp marks the sources that changed after the workload was made and before we heard of it: its pods may
// have started with the former content. Versions are comparable, since all come from one store.
func (s *state) catchUp(t *tracked, keys []refs.Key) {
	made := version(t.observed.ResourceVersion)
	if t.lender != nil {
		made = max(made, version(t.lender.ResourceVersion))
	}

	for _, k := range keys {
		if moved := s.moved[k]; made > 0 && moved > made && s.sources[k] != nil {
			s.markOne(t.observed.Ref, cause{key: k})
		}
	}
}

// forget drops a workload, and returns the sources that nobody has still to carry because of it.
func (s *state) forget(ref workload.Ref) []refs.Key {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.drop(ref)
}

func (s *state) drop(ref workload.Ref) []refs.Key {
	t := s.workloads[ref]
	if t == nil {
		return nil
	}

	var settled []refs.Key

	for key := range t.causes {
		if s.close(key) {
			settled = append(settled, key)
		}
	}

	if len(t.causes) > 0 {
		s.wait(-1)
	}

	delete(s.workloads, ref)
	delete(s.lenders, lenderOf(t.observed))
	s.index.Delete(ref)

	return settled
}

func (s *state) close(key refs.Key) bool {
	if s.open[key]--; s.open[key] > 0 {
		return false
	}

	delete(s.open, key)

	return true
}

// look collects everything that a decision about the workload needs.
func (s *state) look(ref workload.Ref, now time.Time) (facts, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.workloads[ref]
	if t == nil {
		return facts{}, false
	}

	f := facts{workload: t.effective(), lender: t.lender, policy: t.policy, carried: t.carried, sources: map[refs.Key]*origin{}, now: now}
	for key, c := range t.causes {
		f.causes = append(f.causes, c)

		if o := s.sources[key]; o != nil {
			f.sources[key] = o
		}
	}

	for _, key := range s.dependsOn(ref) {
		if o := s.sources[key]; o != nil {
			f.sources[key] = o
		}
	}

	slices.SortFunc(f.causes, func(a, b cause) int { return cmp.Compare(a.key.String(), b.key.String()) })

	return f, true
}

// settle takes note of what a pass did: the causes that it dealt with are closed, unless the source changed
// again meanwhile. It returns the sources that everybody has carried now, and whether the workload must be
// looked at again at once.
func (s *state) settle(f facts, dealt []refs.Key, carried *reload.Carried) (settled []refs.Key, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.workloads[f.workload.Ref]
	if t == nil || t.observed.UID != f.workload.UID {
		return nil, false
	}

	if carried != nil && carried.At.After(t.carried.At) {
		t.carried = *carried
	}

	for _, key := range dealt {
		c, there := t.causes[key]
		if !there {
			continue
		}

		if s.sources[key] != f.sources[key] && !sameContent(s.sources[key], f.sources[key]) {
			// It changed while we wrote. What the workload has now is what we wrote.
			c.from, c.seen, c.unsure, c.tried = contentOf(f.sources[key]), f.now, false, nil
			t.causes[key], again = c, true

			continue
		}

		delete(t.causes, key)

		if len(t.causes) == 0 {
			s.wait(-1)
		}

		if s.close(key) {
			settled = append(settled, key)
		}
	}

	return settled, again
}

// mostTried is how many contents are remembered of which nobody knows whether they were written.
const mostTried = 64

// failed takes note that a write was not answered as it should. Open says that nobody knows whether it was done.
func (s *state) failed(f facts, edits []edit, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.workloads[f.workload.Ref]
	if t == nil || t.observed.UID != f.workload.UID {
		return
	}

	for _, e := range edits {
		c, there := t.causes[e.key]
		if !there {
			continue
		}

		c.unsure = true

		if tried := (attempt{e.marker, e.sum}); open && !slices.Contains(c.tried, tried) {
			c.tried = append(slices.Clone(c.tried[max(0, len(c.tried)-mostTried+1):]), tried)
		}

		t.causes[e.key] = c
	}
}

func sameContent(a, b *origin) bool {
	return a != nil && b != nil && a.content.Whole == b.content.Whole
}

// source is what is known of one source.
func (s *state) source(key refs.Key) (origin, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	o := s.sources[key]
	if o == nil {
		return origin{}, false
	}

	return *o, true
}

// carried is what is known of a source, and whether everybody who depends on it has it.
func (s *state) carried(key refs.Key) (o origin, exists, settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	known := s.sources[key]
	if known != nil {
		o = *known
	}

	return o, known != nil, s.live && s.open[key] == 0 && s.held[key] == 0
}

// all are the keys of every known source.
func (s *state) all() []refs.Key {
	s.mu.Lock()
	defer s.mu.Unlock()

	keys := make([]refs.Key, 0, len(s.sources))
	for k := range s.sources {
		keys = append(keys, k)
	}

	return keys
}

// wait counts a workload that has something to carry, or has it no more. It is called with the lock held.
func (s *state) wait(delta int) {
	before := s.waiting
	s.waiting += delta

	switch {
	case s.ended:
	case before == 0 && s.waiting > 0:
		s.settledAll = make(chan struct{})
	case before > 0 && s.waiting == 0:
		close(s.settledAll)
	}
}

// end lets go of everybody who waits for the end of the work: there will be no more of it here.
func (s *state) end() {
	s.mu.Lock()
	defer s.mu.Unlock()

	if !s.ended && s.waiting > 0 {
		close(s.settledAll)
	}

	s.ended = true
}

// idle returns a channel that is closed when nobody has anything to carry.
func (s *state) idle() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.settledAll
}

// pending counts the workloads that have still something to carry.
func (s *state) pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.waiting
}

// version is a resource version as a number; zero where it is not one.
func version(resourceVersion string) uint64 {
	n, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		return 0
	}

	return n
}

// setUnfinished notes whether the workload is a stand-in that somebody has to finish.
func (s *state) setUnfinished(ref workload.Ref, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if yes {
		s.unfinished[ref] = true
	} else {
		delete(s.unfinished, ref)
	}
}

// standIns are the stand-ins that somebody has still to finish.
func (s *state) standIns() []workload.Ref {
	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.SortedFunc(maps.Keys(s.unfinished), func(a, b workload.Ref) int { return cmp.Compare(a.String(), b.String()) })
}

func (s *state) isUnfinished(ref workload.Ref) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.unfinished[ref]
}

// each visits the dependents of a source with the lock held; visit must not call the state.
func (s *state) each(key refs.Key, visit func(*tracked, *origin) (cause, bool)) []workload.Ref {
	dependents := s.index.Dependents(key)

	s.mu.Lock()
	defer s.mu.Unlock()

	var marked []workload.Ref

	for _, ref := range dependents {
		t := s.workloads[ref]
		if t == nil {
			continue
		}

		if c, yes := visit(t, s.sources[key]); yes && s.markOne(ref, c) {
			marked = append(marked, ref)
		}
	}

	return marked
}

// depended tells whether any workload depends on the source.
func (s *state) depended(key refs.Key) bool { return len(s.index.Dependents(key)) > 0 }

// filters are the keys of the source that some dependent counts alone, sorted.
func (s *state) filters(key refs.Key) []string {
	var keys []string

	s.each(key, func(t *tracked, _ *origin) (cause, bool) {
		keys = append(keys, t.policy.KeysOf(key)...)

		return cause{}, false
	})
	slices.Sort(keys)

	return slices.Compact(keys)
}

// selectNamespace notes whether the scope's selector matches a namespace, and returns the workloads there if it
// does now: a pause of ours may be over.
func (s *state) selectNamespace(name string, yes bool) []workload.Ref {
	s.mu.Lock()
	defer s.mu.Unlock()

	if !yes {
		delete(s.selected, name)

		return nil
	}

	if s.selected[name] {
		return nil
	}

	s.selected[name] = true

	var there []workload.Ref

	for ref := range s.workloads {
		if ref.Namespace == name {
			there = append(there, ref)
		}
	}

	return there
}

func (s *state) namespaceSelected(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.selected[name]
}
