package reload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/source"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

type fataler interface {
	Helper()
	Fatal(args ...any)
}

// controllerOf is a controller without a server; what it emits goes to the channel, when there is one.
func controllerOf(t fataler, clk *clocktesting.FakeClock, s Settings, events chan string) *Controller {
	t.Helper()

	metrics, err := telemetry.NewReload(prometheus.NewRegistry(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}

	if s.Strategy == "" {
		s.Strategy = reload.EnvVars
	}

	if s.Reload.Keys == (reload.Keys{}) {
		s.Reload.Keys = reload.DefaultKeys()
	}

	recorder := &record.FakeRecorder{Events: events}
	recorders := map[refs.Kind]record.EventRecorderLogger{
		refs.ConfigMap: recorder, refs.Secret: recorder, refs.SecretProviderClass: recorder,
	}

	return New(Options{
		Clock: clk, Log: logr.Discard(), Settings: s,
		Reporter: &Reporter{Metrics: metrics, Events: &Events{hold: &hold{}, recorders: recorders}, Log: logr.Discard()},
	})
}

// shutDown ends the controller's queues, as its run would.
func shutDown(c *Controller) {
	c.queue.ShutDown()
	c.lists.queue.ShutDown()
}

func cm(name string) refs.Key { return refs.Key{Kind: refs.ConfigMap, Namespace: "shop", Name: name} }

func deployment(name string) workload.Ref {
	return workload.Ref{Kind: workload.Deployment, Namespace: "shop", Name: name}
}

func originOf(data map[string]string, version int) *origin {
	return &origin{content: content(data), resourceVersion: strconv.Itoa(version)}
}

// reading is a Deployment that reads the ConfigMaps by auto.
func reading(name string, version int, sources ...string) *workload.Observed {
	o := &workload.Observed{
		Ref: deployment(name), UID: types.UID("u-" + name), ResourceVersion: strconv.Itoa(version), FirstContainer: "main",
		Annotations: map[string]string{"reloader.stakater.com/auto": "true"},
	}
	for _, s := range sources {
		o.Uses = append(o.Uses, refs.Use{Kind: refs.ConfigMap, Name: s, Container: "main"})
	}

	return o
}

// world is a cluster as it is, of which the controller learns late, in order for every kind, and the passes that
// are under way.
type world struct {
	*Controller

	t       *rapid.T
	clock   *clocktesting.FakeClock
	version int
	sources map[refs.Key]map[string]string
	pods    map[workload.Ref]*deployed
	// The watches: what was not delivered yet.
	sourceEvents   []source.Change[origin]
	workloadEvents []source.Change[workload.Observed]
	kept           map[refs.Key]*origin
	passes         map[workload.Ref]pass
}

// deployed is a workload as the server has it. Its pods read the sources when it was made; then what was carried to
// it counts, since that is what the controller answers for.
type deployed struct {
	workload.Observed

	read map[refs.Key]map[string]string
}

type pass struct {
	facts facts
	step  step
}

func newModel(t *rapid.T) *world {
	clk := clocktesting.NewFakeClock(noon)
	strategy := rapid.SampledFrom([]reload.Strategy{reload.EnvVars, reload.Annotations}).Draw(t, "strategy")
	w := &world{
		Controller: controllerOf(t, clk, Settings{Strategy: strategy, MinInterval: time.Second}, nil),
		t:          t, clock: clk,
		sources: map[refs.Key]map[string]string{}, pods: map[workload.Ref]*deployed{},
		kept: map[refs.Key]*origin{}, passes: map[workload.Ref]pass{},
	}

	for _, name := range names {
		w.version++
		w.sources[cm(name)] = contents[0]
		w.kept[cm(name)] = originOf(contents[0], w.version)
		w.sourceChanged(refs.ConfigMap, telemetry.ConfigMaps,
			source.Change[origin]{Key: named(name), New: w.kept[cm(name)], Initial: true})
	}

	w.state.begin()

	return w
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

// Some contents; the last two have one compatible hash.
var (
	names    = []string{"a", "b"}
	contents = []map[string]string{{"k": "1"}, {"k": "2"}, {"k": "1;l=2"}, {"k": "1", "l": "2"}}
)

func (w *world) edit() {
	key := cm(rapid.SampledFrom(names).Draw(w.t, "source"))
	data := rapid.SampledFrom(contents).Draw(w.t, "content")
	w.version++

	former := w.kept[key]
	w.sources[key], w.kept[key] = data, originOf(data, w.version)
	w.sourceEvents = append(w.sourceEvents, source.Change[origin]{Key: named(key.Name), Old: former, New: w.kept[key]})
}

func dataOf(o *origin) map[string]string {
	i := slices.IndexFunc(contents, func(data map[string]string) bool { return content(data).Whole == o.content.Whole })

	return contents[i]
}

// put stores a workload, makes its pods read when it is new, and tells the watch.
func (w *world) put(d *deployed, made bool) {
	w.version++
	d.ResourceVersion = strconv.Itoa(w.version)

	if made {
		d.read = maps.Clone(w.sources)
	}

	former := w.pods[d.Ref]
	w.pods[d.Ref] = d

	event := source.Change[workload.Observed]{Key: named(d.Name), New: &d.Observed}
	if former != nil {
		event.Old = &former.Observed
	}

	w.workloadEvents = append(w.workloadEvents, event)
}

func (w *world) deploy() {
	name := rapid.SampledFrom([]string{"x", "y"}).Draw(w.t, "workload")
	former := w.pods[deployment(name)]

	switch rapid.IntRange(0, 3).Draw(w.t, "what") {
	case 0: // deleted, and perhaps made again
		if former != nil {
			delete(w.pods, former.Ref)
			w.workloadEvents = append(w.workloadEvents, source.Change[workload.Observed]{Key: named(name), Old: &former.Observed})
		}
	case 1: // labelled, scaled
		if former != nil {
			w.put(&deployed{Observed: former.Observed, read: former.read}, false)
		}
	default:
		if former == nil {
			d := &deployed{Observed: *reading(name, 0, names...)}
			d.UID = types.UID(fmt.Sprint("u", w.version))
			w.put(d, true)
		}
	}
}

// deliver lets the controller see the next event of one watch.
func (w *world) deliver() bool {
	fromSources := len(w.workloadEvents) == 0 ||
		len(w.sourceEvents) > 0 && rapid.Bool().Draw(w.t, "from the sources' watch")

	switch {
	case fromSources && len(w.sourceEvents) > 0:
		w.sourceChanged(refs.ConfigMap, telemetry.ConfigMaps, w.sourceEvents[0])
		w.sourceEvents = w.sourceEvents[1:]
	case len(w.workloadEvents) > 0:
		w.workloadChanged(workload.Deployment, w.workloadEvents[0])
		w.workloadEvents = w.workloadEvents[1:]
	default:
		return false
	}

	return true
}

// look begins a pass: its decision is made now, its write comes later.
func (w *world) look(ref workload.Ref) {
	if _, busy := w.passes[ref]; busy {
		return
	}

	f, known := w.state.look(ref, w.clock.Now())
	if !known {
		return
	}

	d := decide(f, w.settings())
	if d.change.Empty() {
		w.settle(f, d, nil)

		return
	}

	w.passes[ref] = pass{f, d}
}

type ending string

const (
	succeeds      ending = "succeeds"
	fails         ending = "fails"
	answerIsLost  ending = "is done, and the answer is lost"
	answerIsLater ending = "is seen by the watch before it is answered"
)

func (w *world) write(ref workload.Ref, how ending) {
	p := w.passes[ref]
	delete(w.passes, ref)

	d := w.pods[ref]

	switch {
	case how == fails, d != nil && d.UID != p.facts.workload.UID:
		w.settle(p.facts, p.step, errors.New("refused"))

		return
	case d == nil:
		w.lost(ref)
		w.settle(p.facts, step{}, nil)

		return
	}

	written := apply(d, p.step.change)
	if !slices.Equal(written.Variables, d.Variables) || !maps.Equal(written.TemplateAnnotations, d.TemplateAnnotations) {
		written.read = maps.Clone(d.read)
		for _, e := range p.step.edits {
			written.read[e.key] = dataOf(p.facts.sources[e.key])
		}
	}

	w.put(written, false)

	if how == answerIsLost {
		w.settle(p.facts, p.step, errors.New("timeout"))

		return
	}

	for how == answerIsLater && len(w.workloadEvents) > 0 {
		w.workloadChanged(workload.Deployment, w.workloadEvents[0])
		w.workloadEvents = w.workloadEvents[1:]
	}

	w.settle(p.facts, p.step, nil)
	w.observed(&written.Observed)
}

// apply is the workload with the change in it.
func apply(d *deployed, c workload.Change) *deployed {
	written := &deployed{Observed: d.Observed, read: d.read}
	written.Annotations = overlay(d.Annotations, c.Annotations)
	written.TemplateAnnotations = overlay(d.TemplateAnnotations, c.TemplateAnnotations)
	written.Variables = slices.Clone(d.Variables)

	for _, v := range c.Variables {
		written.Variables = slices.DeleteFunc(written.Variables, func(known workload.Variable) bool { return known.Name == v.Name })
		written.Variables = append(written.Variables, workload.Variable{Container: v.Container, Name: v.Name, Value: v.Value})
	}

	slices.SortFunc(written.Variables, func(a, b workload.Variable) int { return cmpNames(a.Name, b.Name) })

	return written
}

func cmpNames(a, b string) int {
	if a < b {
		return -1
	}

	return 1
}

func overlay(m map[string]string, change map[string]*string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}

	for k, v := range change {
		m[k] = *v
	}

	return m
}

// check compares the counters with what they count.
func (w *world) check() {
	open, waiting := map[refs.Key]int{}, 0

	for _, t := range w.state.workloads {
		for key := range t.causes {
			open[key]++
		}

		if len(t.causes) > 0 {
			waiting++
		}
	}

	if diff := cmp.Diff(open, w.state.open); diff != "" {
		w.t.Fatalf("open (-counted +state):\n%s", diff)
	}

	if waiting != w.state.waiting {
		w.t.Fatalf("waiting: counted %d, state has %d", waiting, w.state.waiting)
	}
}

// drain lets everything arrive and every write succeed, until nothing is left to do.
func (w *world) drain() {
	for w.deliver() {
	}

	for rounds := 0; w.state.pending() > 0 || len(w.passes) > 0; rounds++ {
		if rounds > 20 {
			w.t.Fatalf("it does not come to rest: %d pending", w.state.pending())
		}

		w.clock.Step(time.Hour)

		for ref := range w.state.workloads {
			w.look(ref)
		}

		for ref := range w.passes {
			w.write(ref, succeeds)
		}

		for w.deliver() {
		}
	}
}

// Whatever changes, in whatever order it is seen, and whichever writes fail or only seem to: in the end the pods of
// every workload run with what its sources hold.
func TestNoChangeIsLost(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		w := newModel(t)
		defer shutDown(w.Controller)

		ref := func() workload.Ref { return deployment(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "pass over")) }

		t.Repeat(map[string]func(*rapid.T){
			"":                      func(*rapid.T) { w.check() },
			"a source is edited":    func(*rapid.T) { w.edit() },
			"a workload is changed": func(*rapid.T) { w.deploy() },
			"an event arrives":      func(*rapid.T) { w.deliver() },
			"a pass begins":         func(*rapid.T) { w.look(ref()) },
			"a write ends": func(t *rapid.T) {
				r := ref()
				if _, writing := w.passes[r]; !writing {
					t.Skip("no write is under way")
				}

				w.write(r, rapid.SampledFrom([]ending{succeeds, fails, answerIsLost, answerIsLater}).Draw(t, "the write"))
			},
			"time passes": func(*rapid.T) { w.clock.Step(700 * time.Millisecond) },
		})

		w.drain()
		w.check()

		for ref, d := range w.pods {
			if diff := cmp.Diff(w.sources, d.read); diff != "" {
				t.Errorf("%s runs with other content (-sources +pods):\n%s", ref, diff)
			}
		}

		if len(w.state.workloads) != len(w.pods) {
			t.Errorf("%d workloads are known of %d", len(w.state.workloads), len(w.pods))
		}

		for _, name := range names {
			if busy(w.state, cm(name)) {
				t.Errorf("%s is settled nowhere", name)
			}
		}
	})
}

func parseAs(o *workload.Observed) *reload.Policy {
	p, _ := reload.Parse(o.Annotations, o.TemplateAnnotations, reload.Options{Keys: reload.DefaultKeys()})

	return p
}

func TestAWorkloadThatIsSeenLateCatchesUp(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		made int
		want bool
	}{
		"made before the change, it may have started with the former content": {made: 5, want: true},
		"made after the change, it has read the new content":                  {made: 9, want: false},
		"a version that is no number tells nothing":                           {made: 0, want: false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := newState()
			s.put(app, originOf(contents[0], 3), true)
			s.begin()
			s.put(app, originOf(contents[1], 7), false)

			if due, _ := s.observe(reading("web", tc.made, "app"), parseAs); due != tc.want {
				t.Errorf("due: want %v, got %v", tc.want, due)
			}
		})
	}
}

func TestAnEditOfALabelIsNothingToCatchUpWith(t *testing.T) {
	t.Parallel()

	s := newState()
	s.put(app, originOf(contents[0], 3), true)
	s.begin()
	s.put(app, originOf(contents[0], 7), false)

	if due, _ := s.observe(reading("web", 5, "app"), parseAs); due {
		t.Error("it is due")
	}
}

func TestAnEventFromBeforeOurOwnWriteIsIgnored(t *testing.T) {
	t.Parallel()

	s := newState()
	s.observe(reading("web", 9, "app"), parseAs)

	stale := reading("web", 8, "other")
	if due, added := s.observe(stale, parseAs); due || len(added) > 0 {
		t.Errorf("due %v, added %v", due, added)
	}

	f, _ := s.look(deployment("web"), noon)
	if f.workload.ResourceVersion != "9" || s.depended(cm("other")) {
		t.Errorf("the older one is kept: %+v", f.workload)
	}

	successor := reading("web", 12, "other")
	successor.UID = "another"

	if _, added := s.observe(successor, parseAs); !slices.Equal(added, []refs.Key{cm("other")}) || s.depended(app) {
		t.Errorf("one that was made again replaces the former: added %v", added)
	}

	// The answer to a write to the former one, which comes late.
	if _, added := s.observe(reading("web", 11, "app"), parseAs); len(added) > 0 || s.depended(app) {
		t.Errorf("the former one came back: added %v", added)
	}
}

func TestSettleKeepsWhatChangedWhileItWasWritten(t *testing.T) {
	t.Parallel()

	s := newState()
	s.put(app, originOf(contents[0], 1), true)
	s.observe(reading("web", 2, "app"), parseAs)
	s.begin()

	from := content(contents[0])
	s.put(app, originOf(contents[1], 3), false)
	s.mark(cause{key: app, from: &from, seen: noon})

	f, _ := s.look(deployment("web"), noon.Add(time.Second))

	s.put(app, originOf(contents[2], 4), false)
	s.mark(cause{key: app, from: new(content(contents[1])), seen: noon.Add(time.Minute)})

	settled, again := s.settle(f, []refs.Key{app}, nil)
	if len(settled) > 0 || !again || !busy(s, app) || s.pending() != 1 {
		t.Fatalf("settled %v, again %v, pending %d", settled, again, s.pending())
	}

	f, _ = s.look(deployment("web"), noon.Add(time.Hour))
	if want := content(contents[1]); len(f.causes) != 1 || f.causes[0].from.Whole != want.Whole {
		t.Errorf("the workload has what was written: %+v", f.causes)
	}

	settled, again = s.settle(f, []refs.Key{app}, nil)
	if !slices.Equal(settled, []refs.Key{app}) || again || busy(s, app) || s.pending() != 0 {
		t.Errorf("settled %v, again %v, pending %d", settled, again, s.pending())
	}
}

func TestWhatWasTriedWithoutAnAnswerIsKeptUntilTheWorkloadHasSomething(t *testing.T) {
	t.Parallel()

	s := newState()
	s.put(app, originOf(contents[0], 1), true)
	s.observe(reading("web", 2, "app"), parseAs)
	s.begin()

	fails := func(data map[string]string, version int) facts {
		former := content(dataOf(s.sources[app]))
		s.put(app, originOf(data, version), false)
		s.mark(cause{key: app, from: &former, seen: noon})

		f, _ := s.look(deployment("web"), noon)
		s.failed(f, []edit{{key: app, marker: marker(data), sum: content(data).Whole}}, true)

		return f
	}

	fails(contents[2], 3)
	// What was refused was not written.
	s.failed(fails(contents[2], 4), []edit{{key: app, marker: "refused"}}, false)
	f := fails(contents[3], 5)

	f, _ = s.look(f.workload.Ref, noon)
	if tried := f.causes[0].tried; len(tried) != 2 || tried[0].sum != content(contents[2]).Whole || tried[1].sum != content(contents[3]).Whole {
		t.Errorf("tried: %+v", tried)
	}

	s.settle(f, []refs.Key{app}, nil)
	s.put(app, originOf(contents[1], 6), false)
	s.mark(cause{key: app})

	if f, _ = s.look(f.workload.Ref, noon); len(f.causes) != 1 || len(f.causes[0].tried) > 0 {
		t.Errorf("after it was settled: %+v", f.causes)
	}
}

func TestAWorkloadThatGoesTakesItsCausesAlong(t *testing.T) {
	t.Parallel()

	s := newState()
	s.put(app, originOf(contents[0], 1), true)
	s.observe(reading("web", 2, "app"), parseAs)
	s.observe(reading("api", 2, "app"), parseAs)
	s.mark(cause{key: app})

	if settled := s.forget(deployment("web")); len(settled) > 0 || s.pending() != 1 {
		t.Errorf("settled %v, pending %d", settled, s.pending())
	}

	if settled := s.forget(deployment("api")); !slices.Equal(settled, []refs.Key{app}) || s.pending() != 0 {
		t.Errorf("settled %v, pending %d", settled, s.pending())
	}

	if settled := s.forget(deployment("api")); settled != nil {
		t.Errorf("settled once more: %v", settled)
	}
}

func TestFiltersAreThoseOfAllDependents(t *testing.T) {
	t.Parallel()

	s := newState()
	one, two := reading("web", 1, "app"), reading("api", 1, "app")
	one.Annotations[reload.FilterKey] = "cm/app=k,l"
	two.Annotations[reload.FilterKey] = "cm/app=l,m"

	s.observe(one, parseAs)
	s.observe(two, parseAs)

	if diff := cmp.Diff([]string{"k", "l", "m"}, s.filters(app)); diff != "" {
		t.Errorf("filters (-want +got):\n%s", diff)
	}
}

func TestAnotherFilterHasToBeRecorded(t *testing.T) {
	t.Parallel()

	s := newState()
	s.observe(reading("web", 1, "app"), parseAs)

	o := reading("web", 2, "app")
	o.Annotations[reload.FilterKey] = "cm/app=k"

	if _, added := s.observe(o, parseAs); !slices.Equal(added, []refs.Key{app}) {
		t.Errorf("added %v", added)
	}
}

func TestARolloutReadsWhatTheTemplateThatItBorrowsReads(t *testing.T) {
	t.Parallel()

	s := newState()
	s.put(app, originOf(contents[0], 3), true)
	s.begin()
	s.put(app, originOf(contents[1], 7), false)

	rollout := func(version int, lender string) *workload.Observed {
		o := reading("web", version)
		o.Kind, o.FirstContainer, o.TemplateOf = workload.Rollout, "", lender

		return o
	}

	s.observe(rollout(5, "web"), parseAs)

	lender, missing := s.lacks(rollout(5, "web").Ref)
	if !missing || lender != deployment("web") || !s.lends(lender) || len(s.lacking()) != 1 {
		t.Fatalf("it lacks %v, %v", lender, missing)
	}

	due, added := s.lend(reading("web", 4, "app"), parseAs)
	if len(due) != 1 || !slices.Equal(added, []refs.Key{app}) || len(s.lacking()) != 0 {
		t.Fatalf("due %v, added %v: the source changed since", due, added)
	}

	f, _ := s.look(rollout(5, "web").Ref, noon)
	if f.lender == nil || f.workload.FirstContainer != "main" || f.workload.Kind != workload.Rollout {
		t.Errorf("the decision sees %+v", f.workload)
	}

	s.observe(rollout(9, "other"), parseAs)

	if lender, missing := s.lacks(rollout(9, "other").Ref); !missing || lender != deployment("other") {
		t.Errorf("it borrows from another one now, and lacks %v, %v", lender, missing)
	}

	if due, added := s.lend(reading("web", 10, "app"), parseAs); due != nil || added != nil {
		t.Errorf("the former lender still counts: %v, %v", due, added)
	}
}

func TestAProblemIsToldOnce(t *testing.T) {
	t.Parallel()

	events := make(chan string, 10)
	c := controllerOf(t, clocktesting.NewFakeClock(noon), Settings{}, events)

	defer shutDown(c)

	bad := func(version int, at time.Time) *workload.Observed {
		o := reading("web", version, "app")
		o.Annotations[reload.MinIntervalKey] = "soon"
		o.Annotations[reload.CarriedKey] = reload.Carried{At: at, Sources: map[string]digest.Sum{}}.String()

		return o
	}
	good := reading("web", 4, "app")
	again := bad(6, noon)
	again.UID = "another"

	for _, step := range []struct {
		name string
		o    *workload.Observed
		want int
	}{
		{"when it is seen first", bad(1, noon), 1},
		{"not when our own marker changes", bad(2, noon.Add(time.Hour)), 0},
		{"not when it is corrected", good, 0},
		{"when it comes back", bad(5, noon), 1},
		{"when another workload of the name has it", again, 1},
	} {
		c.observed(step.o)

		if got := len(events); got != step.want {
			t.Errorf("%s: want %d events, got %d", step.name, step.want, got)
		}

		for len(events) > 0 {
			<-events
		}
	}
}

// busy tells whether somebody has still to carry the source.
func busy(s *state, key refs.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.open[key] > 0
}

func TestAPatternsSourcesAreRecordedWhenTheWorkloadArrives(t *testing.T) {
	t.Parallel()

	s := newState()
	s.put(cm("app-config"), originOf(contents[0], 1), true)
	s.put(cm("other"), originOf(contents[0], 2), true)
	s.begin()

	o := reading("web", 3)
	o.Annotations = map[string]string{"configmap.reloader.stakater.com/reload": "app-.*"}

	_, added := s.observe(o, func(o *workload.Observed) *reload.Policy {
		policy, _ := reload.Parse(o.Annotations, nil, reload.Options{Keys: reload.DefaultKeys()})

		return policy
	})
	if !slices.Contains(added, cm("app-config")) || slices.Contains(added, cm("other")) {
		t.Errorf("added %v", added)
	}
}

func TestAChangeThatIsNotYetMarkedIsNotSettled(t *testing.T) {
	t.Parallel()

	s := newState()
	s.put(app, originOf(contents[0], 1), true)
	s.observe(reading("web", 2, "app"), parseAs)
	s.begin()

	if _, _, settled := s.carried(app); !settled {
		t.Error("nothing changed, and yet not settled")
	}

	s.put(app, originOf(contents[1], 3), false)

	if _, _, settled := s.carried(app); settled {
		t.Error("settled between the change and its mark")
	}

	s.markHeld(cause{key: app, from: new(content(contents[0])), seen: noon})

	if _, _, settled := s.carried(app); settled {
		t.Error("settled before the workload carried it")
	}
}

func TestTheEndLetsGoOfWhoeverWaitsForTheWork(t *testing.T) {
	t.Parallel()

	s := newState()
	s.put(app, originOf(contents[0], 1), true)
	s.observe(reading("web", 2, "app"), parseAs)
	s.begin()
	s.mark(cause{key: app, from: new(content(contents[1])), seen: noon})

	idle := s.idle()
	select {
	case <-idle:
		t.Fatal("idle, with something to carry")
	default:
	}

	s.end()
	s.forget(deployment("web"))

	for _, closed := range []<-chan struct{}{idle, s.idle()} {
		select {
		case <-closed:
		default:
			t.Error("not let go")
		}
	}
}

func TestOnlyWhatWasRefusedIsSureNotToBeWritten(t *testing.T) {
	t.Parallel()

	resource := schema.GroupResource{Group: "apps", Resource: "deployments"}

	for name, tc := range map[string]struct {
		err  error
		open bool
	}{
		"a connection that broke":      {io.ErrUnexpectedEOF, true},
		"a time-out of ours":           {fmt.Errorf("patch: %w", context.DeadlineExceeded), true},
		"a time-out of the server":     {apierrors.NewTimeoutError("slow", 1), true},
		"an error of the server":       {apierrors.NewInternalError(errors.New("etcd")), true},
		"a right that is missing":      {fmt.Errorf("patch: %w", apierrors.NewForbidden(resource, "web", errors.New("no"))), false},
		"another version":              {apierrors.NewConflict(resource, "web", errors.New("no")), false},
		"a content that is wrong":      {apierrors.NewBadRequest("no"), false},
		"too many requests":            {apierrors.NewTooManyRequests("wait", 1), false},
		"a workload that is another":   {fmt.Errorf("roll: %w", workload.ErrChanged), false},
		"a server that is not serving": {apierrors.NewServiceUnavailable("starting"), true},
	} {
		if got := open(tc.err); got != tc.open {
			t.Errorf("%s: open %v, want %v", name, got, tc.open)
		}
	}
}
