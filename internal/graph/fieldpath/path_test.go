package fieldpath_test

import (
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

func TestPathIsWrittenAsPeopleWriteIt(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		path fieldpath.Path
		want string
	}{
		"the root is nothing":                        {nil, ""},
		"keys are joined by dots":                    {fieldpath.Path{"spec", "template", "spec"}, "spec.template.spec"},
		"places are in brackets":                     {fieldpath.Path{"spec", "resources", 0, "id"}, "spec.resources[0].id"},
		"places of lists in lists follow each other": {fieldpath.Path{"a", 1, 22}, "a[1][22]"},
		"a path may begin with a place":              {fieldpath.Path{3, "a"}, "[3].a"},
		"a key with a slash is quoted":               {fieldpath.Path{"labels", "app.kubernetes.io/name"}, `labels["app.kubernetes.io/name"]`},
		"a key with a dot is quoted":                 {fieldpath.Path{"data", "a.yaml", "b"}, `data["a.yaml"].b`},
		"a quote in a key is escaped":                {fieldpath.Path{`a"b`}, `["a\"b"]`},
		"an empty key is quoted":                     {fieldpath.Path{"a", ""}, `a[""]`},
		"a key that looks like a place is quoted":    {fieldpath.Path{"a", "0"}, `a["0"]`},
		"dashes and underscores need no quotes":      {fieldpath.Path{"x-kubernetes_a", "_b", "$ref"}, "x-kubernetes_a._b.$ref"},
		"a step of another type is in brackets":      {fieldpath.Path{"a", true}, "a[true]"},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := c.path.String(); got != c.want {
				t.Errorf("the path is %s, want %s", got, c.want)
			}
		})
	}
}

func TestChildrenOfAPathShareNothing(t *testing.T) {
	t.Parallel()

	// There is room behind the path for a child to be written into.
	parent := append(make(fieldpath.Path, 0, 8), "a")
	first, second := parent.Child("b", 0), parent.Child("c")
	grandchild := first.Child("d")
	first[0] = "changed"

	got := []string{parent.String(), first.String(), second.String(), grandchild.String(), parent.Child().String()}
	if diff := cmp.Diff([]string{"a", "changed.b[0]", "a.c", "a.b[0].d", "a"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestErrorSaysWhereOnce(t *testing.T) {
	t.Parallel()

	at := fieldpath.Path{"spec", "resources", 1}

	cases := map[string]struct {
		err  *fieldpath.Error
		want string
	}{
		"the path is in front":                    {fieldpath.Errorf(at, "no %s", "kind"), "spec.resources[1]: no kind"},
		"a message that names the path is enough": {fieldpath.Errorf(at, "no kind at spec.resources[1]"), "no kind at spec.resources[1]"},
		"the root has no path":                    {fieldpath.Errorf(nil, "no map"), "no map"},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := c.err.Error(); got != c.want {
				t.Errorf("the message is %q, want %q", got, c.want)
			}

			if c.err.Offset != -1 || c.err.Expression != "" {
				t.Errorf("an error that concerns no expression has one: %+v", c.err)
			}
		})
	}
}

func TestErrorHasItsCause(t *testing.T) {
	t.Parallel()

	if err := fieldpath.Errorf(fieldpath.Path{"a"}, "read: %w", io.EOF); !errors.Is(err, io.EOF) {
		t.Errorf("%v has lost its cause", err)
	}
}
