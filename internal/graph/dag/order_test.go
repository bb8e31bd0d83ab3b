package dag_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/graph/dag"
)

// needs reads "a: b c, b: c": a depends on b and c, b on c.
func needs(text string) map[string][]string {
	dependencies := map[string][]string{}

	for entry := range strings.SplitSeq(text, ",") {
		if id, on, found := strings.Cut(entry, ":"); found {
			dependencies[strings.TrimSpace(id)] = strings.Fields(on)
		}
	}

	return dependencies
}

func TestSection5Order(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ ids, needs, want string }{
		"nothing has no order":                         {"", "", ""},
		"without dependencies the order is kept":       {"c a b", "", "c a b"},
		"what others need goes first":                  {"a b c", "a: b, b: c", "c b a"},
		"an order that is right is kept":               {"c b a", "a: b, b: c", "c b a"},
		"what waits goes behind the rest of its round": {"a b c d", "a: c", "b c d a"},
		"what becomes free further down goes at once":  {"c a b d", "a: c", "c a b d"},
		"several that become free keep their order":    {"x y z base", "x: base, y: base, z: base", "base x y z"},
		"a diamond": {"top left right bottom", "top: left right, left: bottom, right: bottom", "bottom left right top"},
		"a dependency that is named twice counts once":     {"a b", "a: b b", "b a"},
		"a dependency that is nobody is left out":          {"a b", "a: nobody b", "b a"},
		"dependencies of somebody else are left out":       {"a b", "c: a, a: b", "b a"},
		"the order of dependencies changes nothing":        {"a b c d", "a: d c, b: c d", "c d a b"},
		"what is freed in a late round keeps its own turn": {"a b c d e", "a: b, b: e, d: c", "c d e b a"},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := dag.Order(strings.Fields(c.ids), needs(c.needs))
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestSection4ACycleIsNamed(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ ids, needs, want string }{
		"one that needs itself":                   {"a b", "b: b", "b -> b"},
		"two that need each other":                {"a b", "a: b, b: a", "a -> b -> a"},
		"three in a row":                          {"a b c", "a: c, c: b, b: a", "a -> c -> b -> a"},
		"what needs a cycle is not in it":         {"x a b", "x: a, a: b, b: a", "a -> b -> a"},
		"what a cycle needs is not in it":         {"x a b", "a: b x, b: a", "a -> b -> a"},
		"the shortest of several":                 {"a b c d e", "a: b, b: c, c: a, d: e, e: d", "d -> e -> d"},
		"the shortest of several through one":     {"a b c", "a: b c, b: c, c: a", "a -> c -> a"},
		"the first in the list of equal ones":     {"d c b a", "a: b, b: a, c: d, d: c", "d -> c -> d"},
		"the first way in the list of equal ones": {"a c b", "a: b c, b: a, c: a", "a -> c -> a"},
		"the shortest of two through one way":     {"x y a b", "x: y, y: a, a: b, b: a y", "a -> b -> a"},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := dag.Order(strings.Fields(c.ids), needs(c.needs))

			if _, ok := errors.AsType[*dag.CycleError](err); !ok {
				t.Fatalf("Order = %v, %v; want a cycle", got, err)
			}

			if want := "graph contains a cycle: " + c.want; err.Error() != want {
				t.Errorf("the error is %q, want %q", err, want)
			}
		})
	}
}

func TestSection5ApplyOrder(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		ids, needs string
		want       map[string]int
	}{
		"nothing has no layers":                            {"", "", map[string]int{}},
		"one alone is in layer 1":                          {"a", "", map[string]int{"a": 1}},
		"a lone child of an external reference is in 2":    {"child ref", "child: ref", map[string]int{"child": 2, "ref": 1}},
		"a chain counts from what nobody can do without":   {"a b c", "a: b, b: c", map[string]int{"a": 3, "b": 2, "c": 1}},
		"unrelated ones share the highest number":          {"a b c x", "a: b, b: c", map[string]int{"a": 3, "b": 2, "c": 1, "x": 3}},
		"what two need is below the lower of them":         {"top middle base", "top: middle base, middle: base", map[string]int{"top": 3, "middle": 2, "base": 1}},
		"what only the top one needs is right below it":    {"top middle base leaf", "top: middle leaf, middle: base", map[string]int{"top": 3, "middle": 2, "leaf": 2, "base": 1}},
		"a dependency that is named twice counts once":     {"a b", "a: b b", map[string]int{"a": 2, "b": 1}},
		"a dependency that is nobody makes no layer":       {"a b", "a: b, b: nobody", map[string]int{"a": 2, "b": 1}},
		"a short branch ends where the long one does, too": {"a b c d e", "a: b, b: c, d: e", map[string]int{"a": 3, "b": 2, "c": 1, "d": 3, "e": 2}},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(c.want, dag.ApplyOrder(strings.Fields(c.ids), needs(c.needs))); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// drawn is a graph of up to twelve vertices. Without cycles, dependencies lead down a drawn order of the ids.
func drawn(t *rapid.T, cycles bool) ([]string, map[string][]string) {
	n := rapid.IntRange(0, 12).Draw(t, "vertices")

	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("v%d", i)
	}

	rank := rapid.Permutation(ids).Draw(t, "rank")
	dependencies := map[string][]string{}

	for i, id := range rank {
		below := rank[:i]
		if cycles {
			below = rank
		}

		if len(below) > 0 {
			dependencies[id] = rapid.SliceOfN(rapid.SampledFrom(below), 0, 3).Draw(t, id)
		}
	}

	return ids, dependencies
}

func TestSection5OrderIsThatOfGoingThroughTheListAgainAndAgain(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		ids, dependencies := drawn(t, false)

		var want []string

		for len(want) < len(ids) {
			for _, id := range ids {
				open := slices.ContainsFunc(dependencies[id], func(d string) bool { return !slices.Contains(want, d) })
				if !open && !slices.Contains(want, id) {
					want = append(want, id)
				}
			}
		}

		got, err := dag.Order(ids, dependencies)
		if err != nil {
			t.Fatal(err)
		}

		if !slices.Equal(want, got) {
			t.Errorf("Order = %v, want %v", got, want)
		}
	})
}

func TestSection5AnOrderThatIsRightStays(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		ids, dependencies := drawn(t, false)

		once, err := dag.Order(ids, dependencies)
		if err != nil {
			t.Fatal(err)
		}

		twice, err := dag.Order(once, dependencies)
		if err != nil || !slices.Equal(once, twice) {
			t.Errorf("%v becomes %v, %v", once, twice, err)
		}
	})
}

func TestSection5EachIsOneLayerAboveTheNextOneBelowOrOnTop(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		ids, dependencies := drawn(t, false)
		got := dag.ApplyOrder(ids, dependencies)

		top := 0
		for order := range maps.Values(got) {
			top = max(top, order)
		}

		lowestUser := map[string]int{}
		for _, id := range ids {
			lowestUser[id] = top + 1
		}

		for _, id := range ids {
			for _, d := range dependencies[id] {
				lowestUser[d] = min(lowestUser[d], got[id])
			}
		}

		for _, id := range ids {
			if got[id] != lowestUser[id]-1 {
				t.Errorf("%s has %d, the lowest of those that need it %d (the top is %d)", id, got[id], lowestUser[id], top)
			}
		}

		if len(ids) > 0 && !slices.Contains(slices.Collect(maps.Values(got)), 1) {
			t.Errorf("no layer 1: %v", got)
		}
	})
}

func TestSection4ACycleIsOneAndAShortestWhateverTheOrderOfDependencies(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		ids, dependencies := drawn(t, true)

		shuffled := map[string][]string{}
		for _, id := range ids {
			shuffled[id] = rapid.Permutation(dependencies[id]).Draw(t, "again "+id)
		}

		_, err := dag.Order(ids, dependencies)
		_, again := dag.Order(ids, shuffled)

		if diff := cmp.Diff(fmt.Sprint(err), fmt.Sprint(again)); diff != "" {
			t.Fatalf("in another order: -want +got\n%s", diff)
		}

		length := girth(ids, dependencies)

		found, ok := errors.AsType[*dag.CycleError](err)
		if !ok {
			if err != nil || length > 0 {
				t.Errorf("no cycle is named but %v, and there is one of length %d", err, length)
			}

			return
		}

		if len(found.Cycle) != length+1 || found.Cycle[0] != found.Cycle[length] {
			t.Errorf("%v is no cycle of length %d", found.Cycle, length)
		}

		for i, id := range found.Cycle[1:] {
			if !slices.Contains(dependencies[found.Cycle[i]], id) {
				t.Errorf("in %v %s does not need %s", found.Cycle, found.Cycle[i], id)
			}
		}
	})
}

// girth is the length of the shortest cycle; 0 when there is none.
func girth(ids []string, dependencies map[string][]string) int {
	reached := map[string]map[string]bool{}
	for _, id := range ids {
		reached[id] = map[string]bool{id: true}
	}

	for length := 1; length <= len(ids); length++ {
		for _, id := range ids {
			next := map[string]bool{}

			for at := range reached[id] {
				for _, d := range dependencies[at] {
					next[d] = true
				}
			}

			if reached[id] = next; next[id] {
				return length
			}
		}
	}

	return 0
}

func BenchmarkOrderOfADenseGraph(b *testing.B) {
	for _, n := range []int{100, 200, 400} {
		b.Run(fmt.Sprintf("vertices=%d", n), func(b *testing.B) {
			ids, dependencies := make([]string, n), map[string][]string{}

			for i := range ids {
				ids[i] = fmt.Sprintf("v%d", i)
				dependencies[ids[i]] = slices.Clone(ids[:i])
			}

			slices.Reverse(ids)

			for b.Loop() {
				if _, err := dag.Order(ids, dependencies); err != nil {
					b.Fatal(err)
				}
			}

			edges := float64(n*(n-1)) / 2
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/edges, "ns/edge")
		})
	}
}
