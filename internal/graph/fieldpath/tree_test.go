package fieldpath_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

func TestTreeListsItsPaths(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		tree *fieldpath.Tree
		want string
	}{
		"the zero value is empty":                  {&fieldpath.Tree{}, ""},
		"no paths are none":                        {fieldpath.NewTree(), ""},
		"paths are sorted and folded":              {fieldpath.NewTree("spec.b", "metadata.labels", "spec.a"), "metadata{labels} spec{a b}"},
		"a path takes in those below it":           {fieldpath.NewTree("spec.a.b", "spec.a"), "spec{a}"},
		"a path below one that is there is in it":  {fieldpath.NewTree("spec.a", "spec.a.b"), "spec{a}"},
		"a path twice is one":                      {fieldpath.NewTree("a.b", "a.b"), "a{b}"},
		"a path that begins with another is apart": {fieldpath.NewTree("a.b", "ab"), "a{b} ab"},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := c.tree.String(); got != c.want {
				t.Errorf("the tree is %q, want %q", got, c.want)
			}
		})
	}
}

func TestAPathWithoutKeysIsTheWholeDocument(t *testing.T) {
	t.Parallel()

	tree := fieldpath.NewTree("a.b")
	tree.Add()
	tree.Add("c")

	document := map[string]any{"x": int64(1)}
	if got := tree.String(); got != "*" || !tree.Has("anything", "at", "all") || !tree.Has() {
		t.Errorf("the tree is %q", got)
	}

	if diff := cmp.Diff(document, tree.Keep(document)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTreeMergesAndCoversNothing(t *testing.T) {
	t.Parallel()

	tree := fieldpath.NewTree("a.b")
	tree.Merge(nil)

	if got := tree.String(); got != "a{b}" || !tree.Covers(nil) || !tree.Covers(&fieldpath.Tree{}) {
		t.Errorf("the tree is %q", got)
	}

	if empty := (&fieldpath.Tree{}); !empty.Covers(empty) || empty.Covers(tree) || empty.Has() {
		t.Error("the empty tree covers or has something")
	}
}

func TestTreeHas(t *testing.T) {
	t.Parallel()

	tree := fieldpath.NewTree("spec.a", "spec.b.c")

	cases := map[string]struct {
		path string
		want bool
	}{
		"a path of it":                     {"spec.a", true},
		"what is below a path":             {"spec.a.x.y", true},
		"what has a path below it":         {"spec.b", true},
		"what has a path far below it":     {"spec", true},
		"not what is beside a path":        {"spec.c", false},
		"not what is beside the last key":  {"spec.b.d", false},
		"not what only begins with a path": {"specification", false},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := tree.Has(strings.Split(c.path, ".")...); got != c.want {
				t.Errorf("Has(%s) = %t", c.path, got)
			}
		})
	}
}

func TestTreeKeeps(t *testing.T) {
	t.Parallel()

	document := map[string]any{
		"spec":   map[string]any{"a": map[string]any{"x": int64(1)}, "b": []any{int64(1), int64(2)}, "c": nil},
		"status": map[string]any{"y": "z"},
		"kind":   "K",
	}

	cases := map[string]struct {
		paths []string
		want  map[string]any
	}{
		"nothing without paths":           {nil, map[string]any{}},
		"all below a path":                {[]string{"spec.a"}, map[string]any{"spec": map[string]any{"a": map[string]any{"x": int64(1)}}}},
		"a list where a path goes on":     {[]string{"spec.b.x"}, map[string]any{"spec": map[string]any{"b": []any{int64(1), int64(2)}}}},
		"a text where a path goes on":     {[]string{"kind.x"}, map[string]any{"kind": "K"}},
		"a null":                          {[]string{"spec.c"}, map[string]any{"spec": map[string]any{"c": nil}}},
		"nothing for what is not there":   {[]string{"gone", "gone.x"}, map[string]any{}},
		"an empty map on the way to none": {[]string{"status.gone"}, map[string]any{"status": map[string]any{}}},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if diff := cmp.Diff(c.want, fieldpath.NewTree(c.paths...).Keep(document)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestKeepLeavesTheDocumentAlone(t *testing.T) {
	t.Parallel()

	document := map[string]any{"spec": map[string]any{"a": int64(1), "b": int64(2)}}

	kept := fieldpath.NewTree("spec.a").Keep(document)
	kept["spec"].(map[string]any)["new"] = true

	if diff := cmp.Diff(map[string]any{"spec": map[string]any{"a": int64(1), "b": int64(2)}}, document); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// keys are few, so that paths meet.
func keys() *rapid.Generator[string] { return rapid.SampledFrom([]string{"a", "b", "c"}) }

func paths() *rapid.Generator[[][]string] {
	return rapid.SliceOfN(rapid.SliceOfN(keys(), 0, 4), 0, 5)
}

func treeOf(paths [][]string) *fieldpath.Tree {
	tree := &fieldpath.Tree{}
	for _, p := range paths {
		tree.Add(p...)
	}

	return tree
}

func trees() *rapid.Generator[*fieldpath.Tree] { return rapid.Map(paths(), treeOf) }

func documents() *rapid.Generator[map[string]any] {
	return rapid.MapOfN(keys(), rapid.Deferred(func() *rapid.Generator[any] {
		return rapid.OneOf(
			rapid.SampledFrom([]any{int64(1), "text", nil, []any{"x"}}),
			rapid.Map(documents(), func(m map[string]any) any { return m }),
		)
	}), 0, 3)
}

func merged(trees ...*fieldpath.Tree) *fieldpath.Tree {
	all := &fieldpath.Tree{}
	for _, t := range trees {
		all.Merge(t)
	}

	return all
}

func TestTheOrderOfPathsChangesNothing(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		all := paths().Draw(t, "paths")

		one, other := treeOf(all), treeOf(rapid.Permutation(all).Draw(t, "again"))
		if one.String() != other.String() {
			t.Errorf("%s and %s", one, other)
		}
	})
}

func TestATreeHasWhatWasAddedAndBelow(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		all := paths().Draw(t, "paths")
		tree := treeOf(all)

		for _, p := range all {
			below := slices.Concat(p, rapid.SliceOfN(keys(), 0, 2).Draw(t, "below"))
			above := p[:rapid.IntRange(0, len(p)).Draw(t, "above")]

			if !tree.Has(below...) || !tree.Has(above...) {
				t.Errorf("%s: Has(%v) = %t, Has(%v) = %t", tree, below, tree.Has(below...), above, tree.Has(above...))
			}
		}
	})
}

func TestMergeIsAUnion(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		a, b, c := trees().Draw(t, "a"), trees().Draw(t, "b"), trees().Draw(t, "c")
		union := merged(a, b)

		if !union.Covers(a) || !union.Covers(b) {
			t.Errorf("%s covers %s: %t, and %s: %t", union, a, union.Covers(a), b, union.Covers(b))
		}

		for name, other := range map[string]*fieldpath.Tree{
			"in the other order": merged(b, a), "with itself": merged(a, b, union), "with nothing": merged(a, nil, b, &fieldpath.Tree{}),
		} {
			if other.String() != union.String() {
				t.Errorf("%s: %s, want %s", name, other, union)
			}
		}

		if left, right := merged(merged(a, b), c).String(), merged(a, merged(b, c)).String(); left != right {
			t.Errorf("(a+b)+c is %s, a+(b+c) is %s", left, right)
		}

		// It has no more than the two: what covers both covers it.
		if c.Covers(a) && c.Covers(b) != c.Covers(union) {
			t.Errorf("%s covers %s and %s but not %s", c, a, b, union)
		}
	})
}

func TestMergeSharesNothing(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		a, b := trees().Draw(t, "a"), trees().Draw(t, "b")
		before := b.String()

		merged(a, b).Add("a", "b", "c", "d", "e")
		a.Merge(b)
		a.Add("a", "x")

		if got := b.String(); got != before {
			t.Errorf("the other tree has become %s, it was %s", got, before)
		}
	})
}

func TestCoversIsAnOrder(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		a, b := trees().Draw(t, "a"), trees().Draw(t, "b")

		if !a.Covers(a) {
			t.Errorf("%s does not cover itself", a)
		}

		if both := a.Covers(b) && b.Covers(a); both != (a.String() == b.String()) {
			t.Errorf("%s and %s cover each other: %t", a, b, both)
		}

		// To cover is to gain nothing by merging.
		if gains := merged(a, b).String() != a.String(); gains == a.Covers(b) {
			t.Errorf("%s covers %s: %t, and gains by it: %t", a, b, a.Covers(b), gains)
		}
	})
}

func TestKeepingTwiceIsKeepingOnce(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		tree, document := trees().Draw(t, "tree"), documents().Draw(t, "document")

		once := tree.Keep(document)
		if diff := cmp.Diff(once, tree.Keep(once)); diff != "" {
			t.Errorf("%s: -once +twice\n%s", tree, diff)
		}
	})
}

func TestATreeKeepsAllThatOnesThatItCoversKeep(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		small, document := trees().Draw(t, "small"), documents().Draw(t, "document")
		big := merged(small, trees().Draw(t, "more"))

		if diff := cmp.Diff(small.Keep(document), small.Keep(big.Keep(document))); diff != "" {
			t.Errorf("%s after %s: -want +got\n%s", small, big, diff)
		}

		// And in the other order: nothing comes back.
		if diff := cmp.Diff(small.Keep(document), big.Keep(small.Keep(document))); diff != "" {
			t.Errorf("%s after %s: -want +got\n%s", big, small, diff)
		}
	})
}

func TestWhatIsKeptIsWhatTheTreeHas(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		tree, document := trees().Draw(t, "tree"), documents().Draw(t, "document")
		kept := tree.Keep(document)

		path := rapid.SliceOfN(keys(), 1, 4).Draw(t, "path")

		before, there := at(document, path)
		after, left := at(kept, path)

		if there && tree.Has(path...) != left {
			t.Errorf("%s: Has(%v) = %t, and kept: %t", tree, path, tree.Has(path...), left)
		}

		if left && tree.Covers(treeOf([][]string{path})) && !cmp.Equal(before, after) {
			t.Errorf("%s: %v is %v, want %v", tree, path, after, before)
		}
	})
}

// at is what keys lead to through maps, and whether that is there.
func at(document map[string]any, keys []string) (any, bool) {
	var value any = document

	for _, key := range keys {
		fields, _ := value.(map[string]any)

		inner, there := fields[key]
		if !there {
			return nil, false
		}

		value = inner
	}

	return value, true
}
