package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheTailOfALogIsItsLastLines(t *testing.T) {
	t.Parallel()
	var short, long strings.Builder
	for range 3 {
		short.WriteString("a line\n")
	}
	for range 10000 {
		long.WriteString("a line\n")
	}
	lines := func(n int) string { return strings.TrimSuffix(strings.Repeat("  a line\n", n), "\n") }
	cases := map[string]struct{ content, want string }{
		"nothing of an empty one":       {},
		"all of a short one":            {short.String(), lines(3)},
		"the last twelve of a long one": {long.String(), lines(logLines)},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, tail(path)); diff != "" {
				t.Errorf("tail (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAReservedPortIsGivenToNobodyElse(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 200 {
		port, release, err := ReservePort()
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		if seen[port] {
			t.Fatalf("the port %d was given twice", port)
		}
		seen[port] = true
	}
}
