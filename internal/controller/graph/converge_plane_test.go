package graph_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/journal"
)

// mesh reads an external object and has two objects of which one comes and goes, a collection, and one that sums it up.
const mesh = `
- {id: outside, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}-outside"}}}
- id: first
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-${schema.spec.value}"}
    data: {outside: "${outside.data.v}"}
- id: second
  includeWhen: ["${schema.spec.second}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}-second"}, data: {first: "${first.metadata.name}"}}
- id: many
  forEach: [{zone: "${schema.spec.zones}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name + '-z-' + zone}"}, data: {zone: "${zone}", outside: "${first.data.outside}"}}
- id: sum
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}-sum"}, data: {all: "${many.map(z, z.data.zone + z.data.outside).join(',')}"}}`

const meshSchema = `spec: {value: string | default=one, second: boolean | default=true, zones: "[]string"}
status: {all: "${sum.data.all}"}`

// wish is what an instance of the mesh asks for, with the content of the external object.
type wish struct {
	value, outside string
	second         bool
	zones          []string
}

func (s wish) spec() string {
	return fmt.Sprintf("{value: %q, second: %t, zones: [%s]}", s.value, s.second, strings.Join(s.zones, ", "))
}

// objects is what has to be there for it: the data by name.
func (s wish) objects(name string) map[string]any {
	all := map[string]any{name + "-" + s.value: map[string]any{"outside": s.outside}}
	if s.second {
		all[name+"-second"] = map[string]any{"first": name + "-" + s.value}
	}

	var sum []string

	for _, zone := range s.zones {
		all[name+"-z-"+zone] = map[string]any{"zone": zone, "outside": s.outside}
		sum = append(sum, zone+s.outside)
	}

	all[name+"-sum"] = map[string]any{"all": strings.Join(sum, ",")}

	return all
}

// found is what there is of an instance.
func (w *world) found(name string) map[string]any {
	w.Helper()

	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("v1")
	list.SetKind("ConfigMapList")
	w.must(w.client.List(w.Context(), list, client.InNamespace(w.namespace), client.MatchingLabels{"kro.run/instance-name": name}))

	all := map[string]any{}
	for i := range list.Items {
		all[list.Items[i].GetName()] = field(&list.Items[i], "data")
	}

	return all
}

// arrives waits until an instance is ACTIVE with just the objects that it asks for. With interrupted, it says false when that
// is closed before.
func (w *world) arrives(name string, s wish, interrupted <-chan struct{}) bool {
	w.Helper()

	var diff string

	cut := errors.New("interrupted")
	err := wait.PollUntilContextTimeout(w.Context(), 20*time.Millisecond, expect.Limit, true, func(context.Context) (bool, error) {
		o := w.get(w.instance("App", name))
		got := map[string]any{"state": state(o), "current": current(o), "objects": w.found(name), "sum": field(o, "status", "all")}
		objects := s.objects(name)
		sum, _ := objects[name+"-sum"].(map[string]any)
		diff = cmp.Diff(map[string]any{"state": "ACTIVE", "current": true, "objects": objects, "sum": sum["all"]}, got)

		select {
		case <-interrupted:
			return false, cut
		default:
			return diff == "", nil
		}
	})

	if err != nil && !errors.Is(err, cut) {
		w.Fatalf("the instance %s does not become what it should be: %v (-want +got):\n%s\n%s", name, err, diff,
			condition(w.get(w.instance("App", name)), "ResourcesReady"))
	}

	return err == nil
}

func (w *world) outside(name, value string) {
	w.Helper()
	w.apply(fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: %s-outside, namespace: NAMESPACE}, data: {v: %q}}`, name, value))
}

func TestEveryInterleavingOfEditsConverges(t *testing.T) {
	t.Parallel()

	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			w.announce(meshSchema, mesh)

			s := &storm{world: w, run: w.start(), random: rand.New(rand.NewPCG(seed, seed)), wishes: map[string]wish{}}
			w.active(w.nameOf("App"))

			for _, name := range []string{"ant", "bee"} {
				s.wishes[name] = wish{value: "one", outside: "o", second: true, zones: []string{"a"}}
				w.outside(name, "o")
				w.make("App", name, s.wishes[name].spec())
			}

			for range 6 {
				for range 1 + s.random.IntN(12) {
					s.blow()
				}

				for name, wanted := range s.wishes {
					w.arrives(name, wanted, nil)
				}
			}
		})
	}
}

// storm changes things at random.
type storm struct {
	*world

	run    *run
	random *rand.Rand
	wishes map[string]wish
}

func (s *storm) blow() {
	s.Helper()

	name := []string{"ant", "bee"}[s.random.IntN(2)]
	wanted := s.wishes[name]

	switch s.random.IntN(8) {
	case 0:
		wanted.value = []string{"one", "two", "three"}[s.random.IntN(3)]
	case 1:
		wanted.second = !wanted.second
	case 2:
		wanted.zones = [][]string{{}, {"a"}, {"b", "a"}, {"a", "b", "c"}}[s.random.IntN(4)]
	case 3:
		wanted.outside = fmt.Sprint("o", s.random.IntN(100))
		s.outside(name, wanted.outside)
	case 4, 5:
		s.damage(name)
	case 6:
		s.delete(s.config(name + "-outside"))
		s.outside(name, wanted.outside)
	case 7:
		s.run.stop()
		s.run = s.start()
	}

	s.wishes[name] = wanted
	s.make("App", name, wanted.spec())
}

// damage deletes or changes one of the objects that are there at this moment.
func (s *storm) damage(name string) {
	s.Helper()

	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("v1")
	list.SetKind("ConfigMapList")
	s.must(s.client.List(s.Context(), list, client.InNamespace(s.namespace), client.MatchingLabels{"kro.run/instance-name": name}))

	if len(list.Items) == 0 {
		return
	}

	o := &list.Items[s.random.IntN(len(list.Items))]

	var err error

	switch s.random.IntN(3) {
	case 0:
		err = s.client.Delete(s.Context(), o)
	case 1:
		data, _ := field(o, "data").(map[string]any)
		key := slices.Sorted(maps.Keys(data))[0]
		err = s.client.Patch(s.Context(), o, client.RawPatch("application/merge-patch+json", []byte(`{"data":{"`+key+`":"drift"}}`)))
	case 2:
		err = s.client.Patch(s.Context(), o,
			client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"kro.run/node-id":null}}}`)))
	}

	s.must(client.IgnoreNotFound(err)) // it may just have been pruned
}

// announce applies a definition of which the controller is yet to be started.
func (w *world) announce(schema, resources string) {
	w.Helper()
	w.apply(w.definitionOf("App", schema, resources))
}

func TestAManagerThatDiesBetweenAnyTwoWritesIsContinued(t *testing.T) {
	t.Parallel()

	before := wish{value: "one", outside: "o", second: true, zones: []string{"a", "b"}}
	after := wish{value: "two", outside: "o", second: false, zones: []string{"b", "c"}}

	for phase, act := range map[string]struct {
		prepare, act func(d *dying, name string)
		end          func(d *dying, name string, interrupted <-chan struct{}) bool
	}{
		"while an instance is made": {
			prepare: func(d *dying, name string) { d.outside(name, "o") },
			act:     func(d *dying, name string) { d.make("App", name, before.spec()) },
			end: func(d *dying, name string, interrupted <-chan struct{}) bool {
				return d.arrives(name, before, interrupted)
			},
		},
		"while an instance is changed": {
			prepare: func(d *dying, name string) { d.present(name, before) },
			act:     func(d *dying, name string) { d.make("App", name, after.spec()) },
			end: func(d *dying, name string, interrupted <-chan struct{}) bool {
				return d.arrives(name, after, interrupted)
			},
		},
		"while an instance is deleted": {
			prepare: func(d *dying, name string) { d.present(name, before) },
			act:     func(d *dying, name string) { d.delete(d.instance("App", name)) },
			end:     (*dying).leaves,
		},
	} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			d := &dying{world: w}
			w.announce(meshSchema, mesh)
			d.live()
			w.active(w.nameOf("App"))

			for writes := 1; ; writes++ {
				name := fmt.Sprint("i", writes)
				act.prepare(d, name)
				interrupted := d.dieAfter(writes)
				act.act(d, name)

				if act.end(d, name, interrupted) {
					t.Logf("%d writes", writes-1)

					if writes < 3 {
						t.Error("there was nothing to be interrupted")
					}

					return
				}

				d.run.stop()
				d.live()
				act.end(d, name, nil)
			}
		})
	}
}

// dying is a controller that can be cut off from the server after some writes.
type dying struct {
	*world

	run *run

	mu   sync.Mutex
	left int
	dead chan struct{}
}

// live starts a controller that is not going to die yet.
func (d *dying) live() {
	d.Helper()

	d.mu.Lock()
	d.left, d.dead = 0, nil
	d.mu.Unlock()

	d.run = d.start(func(p *parts) { p.wrap = d.through })
}

// dieAfter has the controller lose the server once it has written some times. The last answer is lost already.
func (d *dying) dieAfter(writes int) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()

	d.left, d.dead = writes, make(chan struct{})

	return d.dead
}

var errLost = errors.New("the connection is lost")

func (d *dying) through(next http.RoundTripper) http.RoundTripper {
	return journal.RoundTripper(func(q *http.Request) (*http.Response, error) {
		// One write after the other, as long as they are counted.
		d.mu.Lock()
		defer d.mu.Unlock()

		switch {
		case d.dead != nil && d.left == 0:
			return nil, errLost
		case d.dead == nil || q.Method == http.MethodGet || !strings.Contains(q.URL.Path, "/namespaces/"+d.namespace+"/"):
			d.mu.Unlock()
			defer d.mu.Lock()

			return next.RoundTrip(q)
		}

		answer, err := next.RoundTrip(q)
		if d.left--; d.left > 0 || err != nil {
			return answer, err
		}

		close(d.dead)

		return nil, errors.Join(errLost, answer.Body.Close())
	})
}

func (d *dying) present(name string, s wish) {
	d.Helper()
	d.outside(name, s.outside)
	d.make("App", name, s.spec())
	d.arrives(name, s, nil)
}

// leaves waits until nothing is left of an instance but what was outside.
func (d *dying) leaves(name string, interrupted <-chan struct{}) bool {
	d.Helper()

	cut := errors.New("interrupted")
	err := wait.PollUntilContextTimeout(d.Context(), 20*time.Millisecond, expect.Limit, true, func(context.Context) (bool, error) {
		if !d.there(d.instance("App", name)) {
			return true, nil
		}

		select {
		case <-interrupted:
			return false, cut
		default:
			return false, nil
		}
	})

	if errors.Is(err, cut) {
		return false
	}

	d.must(err)
	d.same("what is left", map[string]any{}, d.found(name))
	d.same("what is outside is there", true, d.there(d.config(name+"-outside")))

	// It was complete; whether the last answer was lost as well shows in the channel.
	select {
	case <-interrupted:
		return false
	default:
		return true
	}
}
