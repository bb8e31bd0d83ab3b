package refs_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/refs"
)

func key(kind refs.Kind, namespace, name string) refs.Key {
	return refs.Key{Kind: kind, Namespace: namespace, Name: name}
}

// compareExpressions lets patterns be compared: two compilations of one expression are equal.
func compareExpressions() cmp.Option {
	return cmp.Comparer(func(a, b *regexp.Regexp) bool { return a.String() == b.String() })
}

func keys() *rapid.Generator[refs.Key] {
	return rapid.Custom(func(t *rapid.T) refs.Key {
		return key(
			rapid.SampledFrom([]refs.Kind{refs.ConfigMap, refs.Secret}).Draw(t, "kind"),
			rapid.SampledFrom([]string{"one", "two"}).Draw(t, "namespace"),
			rapid.StringMatching(`[ab]{1,2}`).Draw(t, "name"),
		)
	})
}

func edges() *rapid.Generator[refs.Edges] {
	pattern := rapid.Custom(func(t *rapid.T) refs.Pattern {
		k := keys().Draw(t, "of")
		text := rapid.SampledFrom([]string{"^a.*$", "^.b$", "^a|b$", "^*$"}).Draw(t, "expression")

		return refs.Pattern{Kind: k.Kind, Namespace: k.Namespace, Regexp: regexp.MustCompile(text)}
	})

	return rapid.Custom(func(t *rapid.T) refs.Edges {
		return refs.Edges{
			Keys:     rapid.SliceOfN(keys(), 0, 4).Draw(t, "keys"),
			Patterns: rapid.SliceOfN(pattern, 0, 3).Draw(t, "patterns"),
		}
	})
}

func concerns(e refs.Edges, k refs.Key) bool {
	return slices.Contains(e.Keys, k) || slices.ContainsFunc(e.Patterns, func(p refs.Pattern) bool {
		return p.Kind == k.Kind && p.Namespace == k.Namespace && p.Regexp.MatchString(k.Name)
	})
}

// The model is the plain map from workload to edges, searched from end to end.
func TestIndexAgreesWithAPlainSearch(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		index, model := refs.NewIndex[int](), map[int]refs.Edges{}
		workload := rapid.IntRange(0, 5)

		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				w, e := workload.Draw(t, "workload"), edges().Draw(t, "edges")
				index.Set(w, e)

				if model[w] = e; len(e.Keys)+len(e.Patterns) == 0 {
					delete(model, w)
				}
			},
			"delete": func(t *rapid.T) {
				w := workload.Draw(t, "workload")
				index.Delete(w)
				delete(model, w)
			},
			"": func(t *rapid.T) {
				if index.Len() != len(model) {
					t.Fatalf("%d workloads, want %d", index.Len(), len(model))
				}

				k := keys().Draw(t, "key")
				want := []int{}

				for w, e := range model {
					if concerns(e, k) {
						want = append(want, w)
					}
				}

				slices.Sort(want)

				if diff := cmp.Diff(want, append([]int{}, slices.Sorted(slices.Values(index.Dependents(k)))...)); diff != "" {
					t.Fatalf("dependents of %s (-want +got):\n%s", k, diff)
				}

				w := workload.Draw(t, "workload asked for")
				if got := concerns(index.Edges(w), k); got != concerns(model[w], k) {
					t.Fatalf("edges of %d concern %s: %t", w, k, got)
				}
			},
		})
	})
}

func TestEdgesAreSortedAndEachOnce(t *testing.T) {
	t.Parallel()

	a, b := key(refs.Secret, "ns", "a"), key(refs.Secret, "ns", "b")
	pattern := func() refs.Pattern {
		return refs.Pattern{Kind: refs.Secret, Namespace: "ns", Regexp: regexp.MustCompile("^a.*$")}
	}
	given := refs.Edges{Keys: []refs.Key{b, a, b}, Patterns: []refs.Pattern{pattern(), pattern()}}

	x := refs.NewIndex[string]()
	x.Set("w", given)
	x.Set("other", refs.Edges{Patterns: []refs.Pattern{pattern()}})

	want := refs.Edges{Keys: []refs.Key{a, b}, Patterns: []refs.Pattern{pattern()}}
	if diff := cmp.Diff(want, x.Edges("w"), compareExpressions()); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff([]refs.Key{b, a, b}, given.Keys); diff != "" {
		t.Errorf("the caller's edges were changed (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff([]string{"w", "other"}, x.Dependents(a)); diff != "" {
		t.Errorf("dependents, the one that names it first (-want +got):\n%s", diff)
	}

	if x.Edges("w").Patterns[0].Regexp != x.Edges("other").Patterns[0].Regexp {
		t.Error("two workloads with one expression keep two compilations of it")
	}
}

func TestWhatTheIndexReturnsBelongsToTheCaller(t *testing.T) {
	t.Parallel()

	a, b := key(refs.Secret, "ns", "a"), key(refs.Secret, "ns", "b")
	x := refs.NewIndex[string]()
	x.Set("w", refs.Edges{Keys: []refs.Key{a}})

	x.Dependents(a)[0] = "changed"
	x.Edges("w").Keys[0] = b

	if diff := cmp.Diff([]string{"w"}, x.Dependents(a)); diff != "" {
		t.Errorf("dependents (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff(refs.Edges{Keys: []refs.Key{a}}, x.Edges("w"), compareExpressions()); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}
}

// Meaningful under the race detector.
func TestIndexIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()

	x := refs.NewIndex[int]()
	shared := key(refs.Secret, "ns", "shared")

	var group sync.WaitGroup

	for w := range 8 {
		group.Go(func() {
			own := key(refs.ConfigMap, "ns", strconv.Itoa(w))
			for range 100 {
				x.Set(w, refs.Edges{Keys: []refs.Key{own}})
				x.Set(w, refs.Edges{Keys: []refs.Key{shared, own}})
				x.Dependents(shared)
				x.Edges(w)
			}
		})
	}

	group.Wait()

	if got := len(x.Dependents(shared)); got != 8 || x.Len() != 8 {
		t.Errorf("%d dependents among %d workloads, want 8 among 8", got, x.Len())
	}
}

func TestAKeyIsReadBackFromItsLocalForm(t *testing.T) {
	t.Parallel()

	for _, kind := range []refs.Kind{refs.ConfigMap, refs.Secret, refs.SecretProviderClass} {
		k := key(kind, "ns", "name")

		got, ok := refs.ParseLocal("ns", k.Local())
		if diff := cmp.Diff(k, got); diff != "" || !ok {
			t.Errorf("%s (-want +got):\n%s", k, diff)
		}

		if want := strings.Replace(k.Local(), "/", "/ns/", 1); k.String() != want {
			t.Errorf("written as %s, want %s", k, want)
		}
	}

	for _, text := range []string{"", "cm", "cm/", "unknown/name"} {
		if got, ok := refs.ParseLocal("ns", text); ok {
			t.Errorf("%q was read as %s", text, got)
		}
	}

	if got := refs.Kind("Other").Short(); got != "Other" {
		t.Errorf("a kind that is not known is written as %q", got)
	}
}

func BenchmarkIndexDependents(b *testing.B) {
	x := refs.NewIndex[string]()

	for w := range 2000 {
		own := key(refs.Secret, "ns", fmt.Sprint("secret-", w))
		x.Set(fmt.Sprint("workload-", w), refs.Edges{Keys: []refs.Key{own, key(refs.Secret, "ns", "shared")}})
	}

	b.ReportAllocs()

	for b.Loop() {
		x.Dependents(key(refs.Secret, "ns", "secret-1000"))
	}
}
