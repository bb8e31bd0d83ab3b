package reload

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
)

// records is a server that keeps ConfigMaps, and counts and refuses writes.
type records struct {
	client.WithWatch

	mu     sync.Mutex
	writes []string
	refuse error
	wrote  chan struct{}
}

func newRecords(t *testing.T, objs ...client.Object) *records {
	t.Helper()

	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}

	r := &records{wrote: make(chan struct{}, 100)}
	r.WithWatch = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, w client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			return r.write("create "+obj.GetName(), func() error { return w.Create(ctx, obj, opts...) })
		},
		Update: func(ctx context.Context, w client.WithWatch, obj client.Object, opts ...client.UpdateOption) error {
			return r.write("update "+obj.GetName(), func() error { return w.Update(ctx, obj, opts...) })
		},
	}).Build()

	return r
}

func (r *records) write(what string, do func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()

	err := r.refuse
	if err == nil {
		err = do()
	}

	r.writes = append(r.writes, what)
	r.wrote <- struct{}{}

	return err
}

func (r *records) refuseWith(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.refuse = err
}

// take returns what was written since it was asked last.
func (r *records) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()

	writes := r.writes
	r.writes = nil

	return writes
}

func (r *records) await(t *testing.T) {
	t.Helper()

	select {
	case <-r.wrote:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was written")
	}
}

func shardName(key refs.Key) string { return shardNames()[shardOf(key)] }

func loaded(t *testing.T, c client.Client) *baseline {
	t.Helper()

	b := newBaseline(c, "home", clocktesting.NewFakeClock(noon))
	if _, err := b.load(t.Context()); err != nil {
		t.Fatal(err)
	}

	return b
}

func contentGenerator(namespace, name string) *rapid.Generator[digest.Content] {
	return rapid.Custom(func(t *rapid.T) digest.Content {
		data := rapid.MapOfN(rapid.StringMatching(`[-._a-zA-Z0-9]{1,12}`), rapid.String(), 0, 4).Draw(t, "data")

		return digest.OfConfigMap(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data})
	})
}

// Whatever is recorded is read again by the next manager, with the keys that somebody filters by and no others.
func TestTheBaselineIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(rt *rapid.T) {
		server := newRecords(t)
		b := newBaseline(server, "home", clocktesting.NewFakeClock(noon))
		want := map[refs.Key]entry{}

		for range rapid.IntRange(1, 6).Draw(rt, "sources") {
			key := refs.Key{
				Kind:      rapid.SampledFrom([]refs.Kind{refs.ConfigMap, refs.Secret, refs.SecretProviderClass}).Draw(rt, "kind"),
				Namespace: rapid.SampledFrom([]string{"shop", "bank"}).Draw(rt, "namespace"),
				Name:      rapid.StringMatching(`[a-z]([-.a-z0-9]{0,8}[a-z0-9])?`).Draw(rt, "name"),
			}
			c := contentGenerator(key.Namespace, key.Name).Draw(rt, "content")

			var filters []string

			kept := c
			kept.Keys = nil

			for _, k := range c.Keys {
				if rapid.Bool().Draw(rt, "filtered by") {
					filters = append(filters, k.Name)
					kept.Keys = append(kept.Keys, k)
				}
			}

			b.set(key, c, filters)
			want[key] = entry{Content: kept, Size: len(c.Keys)}
		}

		if err := b.flush(t.Context()); err != nil {
			rt.Fatal(err)
		}

		if diff := cmp.Diff(want, loaded(t, server).entries); diff != "" {
			rt.Errorf("entries (-written +read):\n%s", diff)
		}
	})
}

func FuzzDecodeEntries(f *testing.F) {
	line := encodeEntry(app, entryOf(content(map[string]string{"k": "v"})))
	for _, text := range []string{"", "\n\n", line, line + "\n" + line, line + " k=x", "cm/app x y", line[:20], strings.Repeat("x", 1<<16), "\x00 \xff ="} {
		f.Add(text)
	}

	f.Fuzz(func(t *testing.T, text string) {
		entries := decodeEntries("shop", text)
		for key, c := range entries {
			if key.Namespace != "shop" {
				t.Errorf("%v is in another namespace", key)
			}

			got, again, ok := decodeLine("shop", encodeEntry(key, c))
			if !ok || got != key {
				t.Fatalf("%v is read again as %v, %v", key, got, ok)
			}

			if diff := cmp.Diff(c, again); diff != "" {
				t.Errorf("read again (-want +got):\n%s", diff)
			}
		}

		// What cannot be read does no harm to its neighbour.
		if _, there := decodeEntries("shop", text+"\n"+line)[app]; !there {
			t.Error("a line is lost for what is before it")
		}
	})
}

func TestGarbageInTheBaselineIsIgnored(t *testing.T) {
	t.Parallel()

	good := content(map[string]string{"k": "v"})
	line := encodeEntry(app, entryOf(good))
	whole, compatible := good.Whole.String(), good.Marker()

	for name, bad := range map[string]string{
		"an empty line":                 "",
		"words":                         "somebody was here",
		"no hash":                       "cm/other " + whole,
		"a hash that is too short":      "cm/other " + whole + " " + compatible[2:] + " 1",
		"a hash that is no hex":         "cm/other " + whole + " " + strings.Repeat("z", len(compatible)) + " 1",
		"a digest that is none":         "cm/other x " + compatible + " 1",
		"a kind that is unknown":        "pod/other " + whole + " " + compatible + " 1",
		"a number of keys that is none": "cm/other " + whole + " " + compatible + " many",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			want := map[refs.Key]entry{app: entryOf(good)}
			if diff := cmp.Diff(want, decodeEntries("shop", bad+"\n"+line)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}

	got := decodeEntries("shop", line+" other=garbage =")[app]
	if diff := cmp.Diff(good.Keys, got.Keys); diff != "" {
		t.Errorf("the digest of a key that cannot be read (-want +got):\n%s", diff)
	}
}

// others are two sources in two ConfigMaps of the record.
func others() (one, two refs.Key) {
	one, two = cm("a"), cm("b")
	for i := 'c'; shardOf(one) == shardOf(two); i++ {
		two = cm(string(i))
	}

	return one, two
}

func TestOnlyWhatChangedIsWritten(t *testing.T) {
	t.Parallel()

	server := newRecords(t)
	b := newBaseline(server, "home", clocktesting.NewFakeClock(noon))
	one, two := others()

	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"nothing is recorded yet", func() {}, nil},
		{
			"two sources", func() { b.set(one, content(contents[0]), nil); b.set(two, content(contents[0]), nil) },
			[]string{"create " + shardName(one), "create " + shardName(two)},
		},
		{"the same again", func() { b.set(one, content(contents[0]), nil) }, nil},
		{"a filter that selects nothing new", func() { b.set(one, content(contents[0]), []string{"absent"}) }, nil},
		{"other content", func() { b.set(two, content(contents[1]), nil) }, []string{"update " + shardName(two)}},
		{"a filter", func() { b.set(one, content(contents[0]), []string{"k"}) }, []string{"update " + shardName(one)}},
		{"a source is gone", func() { b.remove(two) }, []string{"update " + shardName(two)}},
		{"it is gone already", func() { b.remove(two) }, nil},
	} {
		step.do()

		if err := b.flush(t.Context()); err != nil {
			t.Fatal(err)
		}

		got := slices.Sorted(slices.Values(server.take()))
		if diff := cmp.Diff(slices.Sorted(slices.Values(step.want)), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}

	record := &corev1.ConfigMap{}
	if err := server.Get(t.Context(), client.ObjectKey{Namespace: "home", Name: shardName(two)}, record); err != nil {
		t.Fatal(err)
	}

	if len(record.Data) != 0 {
		t.Errorf("what is gone is still recorded: %v", record.Data)
	}
}

func TestWhatSomebodyElseDidToTheBaselineIsOverwritten(t *testing.T) {
	t.Parallel()

	record := func(t *testing.T, server *records) *corev1.ConfigMap {
		t.Helper()

		cm := &corev1.ConfigMap{}
		if err := server.Get(t.Context(), client.ObjectKey{Namespace: "home", Name: shardName(app)}, cm); err != nil {
			t.Fatal(err)
		}

		return cm
	}

	for name, disturb := range map[string]func(*testing.T, *records){
		"edited": func(t *testing.T, server *records) {
			t.Helper()

			cm := record(t, server)
			cm.Data = map[string]string{"shop": "x"}

			if err := server.Update(t.Context(), cm); err != nil {
				t.Fatal(err)
			}
		},
		"deleted": func(t *testing.T, server *records) {
			t.Helper()

			if err := server.Delete(t.Context(), record(t, server)); err != nil {
				t.Fatal(err)
			}
		},
		"left alone": func(*testing.T, *records) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			server := newRecords(t)
			b := newBaseline(server, "home", clocktesting.NewFakeClock(noon))

			for _, data := range contents[:3] {
				b.set(app, content(data), nil)

				if err := b.flush(t.Context()); err != nil {
					t.Fatal(err)
				}

				if got, _ := loaded(t, server).get(app); got.Whole != content(data).Whole {
					t.Errorf("recorded is %v", got)
				}

				disturb(t, server)
			}
		})
	}

	t.Run("made before us", func(t *testing.T) {
		t.Parallel()

		server := newRecords(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: shardName(app)}})
		b := newBaseline(server, "home", clocktesting.NewFakeClock(noon))
		b.set(app, content(contents[0]), nil)

		if err := b.flush(t.Context()); err != nil {
			t.Fatal(err)
		}

		if got, _ := loaded(t, server).get(app); got.Whole != content(contents[0]).Whole {
			t.Errorf("recorded is %v", got)
		}
	})
}

func TestTheBaselineIgnoresConfigMapsOfOthers(t *testing.T) {
	t.Parallel()

	b := loaded(t, newRecords(t, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "other", Labels: map[string]string{baselineLabel: baselineValue}},
		Data:       map[string]string{"shop": encodeEntry(app, entryOf(content(contents[0])))},
	}))
	if keys := b.keys(); len(keys) > 0 {
		t.Errorf("read %v", keys)
	}
}

// running lets the baseline write by itself until the test ends; its failures go to the channel.
func running(t *testing.T, b *baseline) chan error {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())
	failures, done := make(chan error, 10), make(chan struct{})

	go func() {
		defer close(done)

		b.run(ctx, func(err error) { failures <- err })
	}()

	t.Cleanup(func() {
		cancel()
		<-done
	})

	return failures
}

// advance lets the time pass once somebody waits for it.
func advance(t *testing.T, clk *clocktesting.FakeClock, d time.Duration) {
	t.Helper()

	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()

	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()

	for !clk.HasWaiters() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("nobody waits")
		}
	}

	clk.Step(d)
}

func TestABurstIsRecordedInOneWrite(t *testing.T) {
	t.Parallel()

	server, clk := newRecords(t), clocktesting.NewFakeClock(noon)
	b := newBaseline(server, "home", clk)
	b.set(app, content(contents[0]), nil)

	failures := running(t, b)

	// What was found at the start is not held up.
	advance(t, clk, 0)
	server.await(t)
	server.take()

	for range 3 {
		for _, data := range contents[1:] {
			b.set(app, content(data), nil)
		}
	}

	advance(t, clk, baselineDelay-time.Millisecond)

	if writes := server.take(); len(writes) > 0 {
		t.Errorf("written before the delay: %v", writes)
	}

	advance(t, clk, time.Millisecond)
	server.await(t)

	if diff := cmp.Diff([]string{"update " + shardName(app)}, server.take()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}

	if len(failures) > 0 {
		t.Error(<-failures)
	}
}

func TestARefusedBaselineIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()

	for name, refusal := range map[string]error{
		"§20 without the right": apierrors.NewForbidden(corev1.Resource("configmaps"), "x", errors.New("no rule")),
		"a server in trouble":   apierrors.NewInternalError(errors.New("not now")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			server, clk := newRecords(t), clocktesting.NewFakeClock(noon)
			server.refuseWith(refusal)

			b := newBaseline(server, "home", clk)
			b.set(app, content(contents[0]), nil)

			failures := running(t, b)
			advance(t, clk, 0)

			if err := <-failures; !errors.Is(err, refusal) || !strings.Contains(err.Error(), "home/"+shardName(app)) {
				t.Errorf("told %v", err)
			}

			server.await(t)
			server.refuseWith(nil)
			advance(t, clk, time.Minute)
			server.await(t)

			if got, _ := loaded(t, server).get(app); got.Whole != content(contents[0]).Whole {
				t.Errorf("recorded is %v", got)
			}
		})
	}
}

func TestShardsHoldEverySourceOnce(t *testing.T) {
	t.Parallel()

	b := newBaseline(nil, "home", clocktesting.NewFakeClock(noon))
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		b.set(cm(name), content(contents[0]), nil)
	}

	found := map[refs.Key]entry{}

	for n := range baselineShards {
		if shard := b.take(n); shard != nil {
			for namespace, text := range shard.Data {
				for key := range decodeEntries(namespace, text) {
					if _, twice := found[key]; twice {
						t.Errorf("%v is recorded twice", key)
					}
				}

				maps.Copy(found, decodeEntries(namespace, text))
			}
		}
	}

	if diff := cmp.Diff(b.entries, found); diff != "" {
		t.Errorf("entries (-kept +written):\n%s", diff)
	}
}

func entryOf(c digest.Content) entry { return entry{Content: c, Size: len(c.Keys)} }
