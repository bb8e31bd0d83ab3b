package localplane

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// These tests set the environment and the working directory of the process, so none of them is parallel.

func TestFindBinaries(t *testing.T) {
	root := t.TempDir()
	whole, partial, above := filepath.Join(root, "whole"), filepath.Join(root, "partial"), filepath.Join(root, "bin", "plane")
	fill(t, whole, components()...)
	fill(t, partial, etcd, apiServer)
	fill(t, above, components()...)
	below := filepath.Join(root, "a", "b")
	fill(t, below)
	cases := map[string]struct{ explicit, assets, want string }{
		"takes what it is told":                            {explicit: whole, assets: above, want: whole},
		"then $KUBEBUILDER_ASSETS":                         {assets: whole, want: whole},
		"then bin/plane above the working directory":       {want: above},
		"passes by $KUBEBUILDER_ASSETS when it lacks some": {assets: partial, want: above},
		"looks nowhere else when it is told a folder":      {explicit: partial},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBEBUILDER_ASSETS", test.assets)
			t.Chdir(below)
			got, err := FindBinaries(test.explicit)
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q and %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestMissingBinariesAreNamedWithWhereTheyWereLookedFor(t *testing.T) {
	root := t.TempDir()
	fill(t, root, etcd, kwok, scheduler)
	t.Setenv("KUBEBUILDER_ASSETS", root)
	t.Chdir(root)
	_, err := FindBinaries("")
	missing, ok := errors.AsType[*MissingBinariesError](err)
	if !ok {
		t.Fatalf("got %v, want a %T", err, missing)
	}
	for _, want := range []string{
		root + " (no kube-apiserver, kube-controller-manager)", filepath.Join(root, "bin", "plane"), "`make plane`",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %q", err, want)
		}
	}
}

// fill makes a folder with executable files of these names.
func fill(t *testing.T, dir string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}
