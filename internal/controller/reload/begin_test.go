package reload

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
)

// start is a controller that begins: with a workload that reads the ConfigMap app, which holds {k: b}.
type start struct {
	settings Settings
	// recorded is what the baseline says of the source; others are recorded in any case, unless fresh.
	recorded map[string]string
	fresh    bool
	// noBaseline: the manager keeps none.
	noBaseline bool
	carried    map[string]string
	last       *reload.LastReload
	variables  []workload.Variable
	uses       []refs.Use
	filter     string
	created    time.Time
	written    time.Time
	born       time.Time
}

func (s start) begin(t *testing.T) *Controller {
	t.Helper()

	o := reading("web", 5, "app")
	o.Created, o.Variables = s.created, s.variables

	if s.uses != nil {
		o.Uses = s.uses
	}

	if s.carried != nil {
		maps.Copy(o.Annotations, carriedAnnotation(t, s.carried, noon.Add(-time.Hour)))
	}

	if s.filter != "" {
		o.Annotations[reload.FilterKey] = s.filter
	}

	if s.last != nil {
		o.TemplateAnnotations = map[string]string{reload.DefaultKeys().LastReloadedFrom: s.last.String()}
	}

	c := controllerOf(t, clocktesting.NewFakeClock(noon), s.settings, nil)
	t.Cleanup(func() { shutDown(c) })

	now := originOf(map[string]string{"k": "b"}, 9)
	now.written, now.created = s.written, s.born
	c.state.put(app, now, true)
	c.observed(o)

	for c.queue.Len() > 0 { // what is queued before is not of interest
		ref, _ := c.queue.Get()
		c.queue.Done(ref)
	}

	if !s.noBaseline {
		c.baseline = newBaseline(s.server(t), "home", c.Clock)
	}

	if err := c.begin(t.Context()); err != nil {
		t.Fatal(err)
	}

	return c
}

func (s start) server(t *testing.T) *records {
	t.Helper()

	server := newRecords(t)
	if s.fresh {
		return server
	}

	b := newBaseline(server, "home", clocktesting.NewFakeClock(noon))
	b.set(cm("other"), content(map[string]string{"k": "x"}), nil)

	if s.recorded != nil {
		b.set(app, content(s.recorded), []string{"k"})
	}

	if err := b.flush(t.Context()); err != nil {
		t.Fatal(err)
	}

	return server
}

func TestWhatChangedWhileNoManagerRan(t *testing.T) {
	t.Parallel()

	carry, sync := Settings{CarryMissed: true}, Settings{CarryMissed: true, SyncAtStart: true, OnCreate: true}
	create := Settings{CarryMissed: true, OnCreate: true}
	annotations := Settings{CarryMissed: true, Strategy: reload.Annotations}
	a, b := map[string]string{"k": "a"}, map[string]string{"k": "b"}
	variable := func(data map[string]string) []workload.Variable {
		return []workload.Variable{{Container: "main", Name: "STAKATER_APP_CONFIGMAP", Value: marker(data)}}
	}
	last := func(name string, data map[string]string) *reload.LastReload {
		return &reload.LastReload{Type: "CONFIGMAP", Name: name, Namespace: "shop", Hash: marker(data)}
	}

	for name, tc := range map[string]struct {
		start   start
		carried bool
		// adopted: it is due all the same, and the pass finds nothing to write.
		adopted bool
	}{
		"§8 the baseline holds other content": {start: start{settings: carry, recorded: a}, carried: true},
		"the baseline holds this content":     {start: start{settings: carry, recorded: b}},
		"the baseline holds this content, and a marker of before is brought back by an undo": {
			start: start{settings: carry, recorded: b, carried: a, variables: variable(a)},
		},
		"the workload was made after the last write": {
			start: start{settings: carry, recorded: a, written: noon.Add(-time.Minute), created: noon},
		},
		"the workload was made in the second of the last write": {
			start: start{settings: carry, recorded: a, written: noon, created: noon}, carried: true,
		},
		"when the content was written last is not known": {
			start: start{settings: carry, recorded: a, created: noon}, carried: true,
		},
		"the workload has it already, only the baseline was not written": {
			start: start{settings: carry, recorded: a, carried: b}, adopted: true,
		},
		"a key changed that the workload does not count": {
			start: start{settings: carry, recorded: map[string]string{"k": "b", "other": "1"}, filter: "cm/app=k"}, adopted: true,
		},
		"a key changed that the workload counts": {
			start: start{settings: carry, recorded: a, filter: "cm/app=k"}, carried: true,
		},
		"nothing is recorded and nothing marked: the first install":    {start: start{settings: carry, fresh: true}},
		"nothing is recorded, and our marker names other content":      {start: start{settings: carry, fresh: true, carried: a}, carried: true},
		"nothing is recorded, and our marker names this content":       {start: start{settings: carry, fresh: true, carried: b}},
		"§6 nothing is recorded, and the variable names other content": {start: start{settings: carry, fresh: true, variables: variable(a)}, carried: true},
		"§6 nothing is recorded, and the variable names this content":  {start: start{settings: carry, fresh: true, variables: variable(b)}},
		"§6 a variable of another container does not count": {
			start: start{settings: carry, fresh: true, variables: []workload.Variable{{Container: "side", Name: "STAKATER_APP_CONFIGMAP", Value: "x"}}},
		},
		"§6 a variable that is another source's as well tells nothing": {
			start: start{
				settings: carry, fresh: true, variables: variable(a),
				uses: []refs.Use{
					{Kind: refs.ConfigMap, Name: "app", Container: "main"},
					{Kind: refs.ConfigMap, Name: "app.", Container: "main"},
					{Kind: refs.ConfigMap, Name: "-app", Container: "main"},
				},
			},
		},
		"§7 nothing is recorded, and the annotation names other content":  {start: start{settings: annotations, fresh: true, last: last("app", a)}, carried: true},
		"§7 nothing is recorded, and the annotation names this content":   {start: start{settings: annotations, fresh: true, last: last("app", b)}},
		"§7 nothing is recorded, and the annotation names another source": {start: start{settings: annotations, fresh: true, last: last("db", a)}},
		"no baseline is kept, and our marker names other content":         {start: start{settings: carry, noBaseline: true, carried: a}, carried: true},
		"no baseline is kept, and nothing is marked":                      {start: start{settings: carry, noBaseline: true}},
		"§8 creation counts, and the source is younger than the workload": {
			start: start{settings: create, created: noon.Add(-time.Hour), born: noon}, carried: true,
		},
		"§8 creation counts, and the source is older than the workload": {
			start: start{settings: create, created: noon, born: noon.Add(-time.Hour)},
		},
		"§8 creation counts, but this is the first install": {
			start: start{settings: create, fresh: true, created: noon.Add(-time.Hour), born: noon},
		},
		"§8 a sync at the start carries what has no marker":       {start: start{settings: sync, recorded: b}, carried: true},
		"§8 a sync at the start leaves alone what is marked":      {start: start{settings: sync, recorded: b, variables: variable(b)}, adopted: true},
		"§8 a sync at the start needs creation to count":          {start: start{settings: Settings{SyncAtStart: true}, recorded: a}},
		"what was missed does not count, when it is not to count": {start: start{settings: Settings{}, recorded: a, carried: a}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := tc.start.begin(t)

			if due := c.state.pending() > 0; due != (tc.carried || tc.adopted) {
				t.Fatalf("due: want %v, got %v", tc.carried || tc.adopted, due)
			}

			if queued := c.queue.Len() > 0; queued != (tc.carried || tc.adopted) {
				t.Errorf("queued: %v", queued)
			}

			f, _ := c.state.look(deployment("web"), noon)
			if d := decide(f, c.settings()); len(d.edits) > 0 != tc.carried {
				t.Errorf("carried: want %v, got %+v, skipped %v", tc.carried, d.edits, d.skipped)
			}

			// What is settled is recorded; what has still to be carried keeps its former record.
			if c.baseline != nil && !tc.carried && !tc.adopted {
				if got, _ := c.baseline.get(app); got.Whole != content(b).Whole {
					t.Errorf("recorded is %v", got)
				}
			}
		})
	}
}

func TestWhatChangesDuringTheStartIsCarried(t *testing.T) {
	t.Parallel()

	a, b := originOf(map[string]string{"k": "a"}, 3), originOf(map[string]string{"k": "b"}, 4)

	for name, tc := range map[string]struct {
		settings      Settings
		before, after *origin
		want          bool
	}{
		"an edit":                           {before: a, after: b, want: true},
		"§8 a deletion that does not count": {before: a, want: false},
		"§8 a deletion that counts":         {settings: Settings{OnDelete: true}, before: a, want: true},
		"§8 a creation that does not count": {after: b, want: false},
		"§8 a creation that counts":         {settings: Settings{OnCreate: true}, after: b, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := controllerOf(t, clocktesting.NewFakeClock(noon), tc.settings, nil)
			defer shutDown(c)

			if tc.before != nil {
				c.state.put(app, tc.before, true)
			}

			o := reading("web", 2, "app")
			o.Variables = []workload.Variable{{Container: "main", Name: "STAKATER_APP_CONFIGMAP", Value: "x"}}
			c.observed(o)
			c.state.put(app, tc.after, false)

			if err := c.begin(t.Context()); err != nil {
				t.Fatal(err)
			}

			f, _ := c.state.look(deployment("web"), noon)
			if got := len(decide(f, c.settings()).edits) > 0; got != tc.want {
				t.Errorf("carried: want %v, got %v", tc.want, got)
			}
		})
	}
}

func TestDeletionsWhileNoManagerRan(t *testing.T) {
	t.Parallel()

	gone := cm("gone")

	for name, tc := range map[string]struct {
		settings Settings
		exists   bool
		answer   error
		due      bool
		recorded bool
	}{
		"§8 they do not count":                      {settings: Settings{CarryMissed: true}},
		"§8 they count":                             {settings: Settings{CarryMissed: true, OnDelete: true}, due: true, recorded: true},
		"one that is only out of sight is not gone": {settings: Settings{CarryMissed: true, OnDelete: true}, exists: true},
		"without the right to look it is not gone": {
			settings: Settings{CarryMissed: true, OnDelete: true},
			answer:   apierrors.NewForbidden(corev1.Resource("configmaps"), "gone", nil),
		},
		"what was missed does not count": {settings: Settings{OnDelete: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			var objs []client.Object
			if tc.exists {
				objs = append(objs, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "gone"}})
			}

			server := newRecords(t, objs...)
			b := newBaseline(server, "home", clocktesting.NewFakeClock(noon))
			b.set(gone, content(contents[0]), nil)

			if err := b.flush(t.Context()); err != nil {
				t.Fatal(err)
			}

			c := controllerOf(t, clocktesting.NewFakeClock(noon), tc.settings, nil)
			defer shutDown(c)

			c.baseline = newBaseline(server, "home", c.Clock)
			c.Client = interceptor.NewClient(server.WithWatch, interceptor.Funcs{Get: func(
				ctx context.Context, w client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption,
			) error {
				if tc.answer != nil {
					return tc.answer
				}

				return w.Get(ctx, key, obj, opts...)
			}})

			c.observed(reading("web", 2, "gone"))

			if err := c.begin(t.Context()); err != nil {
				t.Fatal(err)
			}

			_, recorded := c.baseline.get(gone)
			if due := c.state.pending() > 0; due != tc.due || recorded != tc.recorded {
				t.Errorf("due %v, recorded %v; want %v, %v", due, recorded, tc.due, tc.recorded)
			}
		})
	}
}

func TestTheStartWaitsForTheBaseline(t *testing.T) {
	t.Parallel()

	clk := clocktesting.NewFakeClock(noon)
	failures := 20
	server := newRecords(t)
	c := controllerOf(t, clk, Settings{CarryMissed: true}, nil)

	defer shutDown(c)

	asked := make(chan struct{}, 100)
	c.baseline = newBaseline(interceptor.NewClient(server.WithWatch, interceptor.Funcs{List: func(
		ctx context.Context, w client.WithWatch, list client.ObjectList, opts ...client.ListOption,
	) error {
		asked <- struct{}{}

		if failures--; failures >= 0 {
			return apierrors.NewInternalError(errors.New("not now"))
		}

		return w.List(ctx, list, opts...)
	}}), "home", clk)

	done := make(chan error, 1)

	go func() { done <- c.begin(t.Context()) }()

	for range 20 { // more than three minutes of the server's trouble
		<-asked
		advance(t, clk, 11*time.Second)
	}

	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestTheStartGoesOnWithoutTheRightToReadTheBaseline(t *testing.T) {
	t.Parallel()

	c := controllerOf(t, clocktesting.NewFakeClock(noon), Settings{CarryMissed: true}, nil)
	defer shutDown(c)

	c.baseline = newBaseline(interceptor.NewClient(newRecords(t).WithWatch, interceptor.Funcs{List: func(
		context.Context, client.WithWatch, client.ObjectList, ...client.ListOption,
	) error {
		return apierrors.NewForbidden(corev1.Resource("configmaps"), "", nil)
	}}), "home", c.Clock)

	o := reading("web", 2, "app")
	maps.Copy(o.Annotations, carriedAnnotation(t, contents[0], noon))
	c.state.put(app, originOf(contents[1], 3), true)
	c.observed(o)

	if err := c.begin(t.Context()); err != nil {
		t.Fatal(err)
	}

	if c.state.pending() != 1 {
		t.Error("§20 the markers on the workloads have to do")
	}
}

func TestAStartThatIsCalledOffSaysSo(t *testing.T) {
	t.Parallel()

	ctx, cancel := context.WithCancel(t.Context())
	c := controllerOf(t, clocktesting.NewFakeClock(noon), Settings{}, nil)

	defer shutDown(c)

	c.baseline = newBaseline(interceptor.NewClient(newRecords(t).WithWatch, interceptor.Funcs{List: func(
		context.Context, client.WithWatch, client.ObjectList, ...client.ListOption,
	) error {
		cancel()

		return apierrors.NewInternalError(errors.New("not now"))
	}}), "home", c.Clock)

	if err := c.begin(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("want that it was cancelled, got %v", err)
	}
}

// The time between two rollouts counts also across a restart: what was carried last is read from the workload.
func TestThePaceSurvivesARestart(t *testing.T) {
	t.Parallel()

	carried := reload.Carried{
		At: noon.Add(-time.Second), Streak: 3, Sources: map[string]digest.Sum{app.Local(): content(contents[0]).Whole},
	}
	c := controllerOf(t, clocktesting.NewFakeClock(noon), Settings{MinInterval: time.Second}, nil)

	defer shutDown(c)

	o := reading("web", 2, "app")
	o.Annotations[reload.CarriedKey] = carried.String()
	c.state.put(app, originOf(contents[1], 3), true)
	c.observed(o)
	c.state.begin()
	c.state.mark(cause{key: app})

	f, _ := c.state.look(deployment("web"), noon)
	if d := decide(f, c.settings()); len(d.edits) > 0 || d.after != 7*time.Second {
		t.Errorf("after a streak of three it waits eight intervals, of which one is over; got %v, %v", d.after, d.edits)
	}

	f.now = noon.Add(7 * time.Second)

	d := decide(f, c.settings())
	if d.change.Annotations[reload.CarriedKey] == nil {
		t.Fatalf("nothing is carried: %+v", d)
	}

	got, err := reload.ParseCarried(*d.change.Annotations[reload.CarriedKey])
	if err != nil {
		t.Fatal(err)
	}

	want := reload.Carried{At: f.now, Streak: 4, Sources: map[string]digest.Sum{app.Local(): content(contents[1]).Whole}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("carried (-want +got):\n%s", diff)
	}
}
