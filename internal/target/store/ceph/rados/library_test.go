//go:build linux && !noceph

package rados

import (
	"errors"
	"strings"
	"testing"
)

func TestALibraryThatIsNotThereNamesItsPackage(t *testing.T) {
	t.Parallel()
	for name, library := range map[string]string{
		"no such file":      "librados-of-nobody.so.9",
		"another library":   "libc.so.6",
		"no library at all": "/etc/passwd",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &Library{name: library}
			for range 2 { // it is asked for once, and the answer stays
				cluster, err := l.Connect(t.Context(), Options{Connect: 1, Command: 1})
				missing, ok := errors.AsType[*MissingLibraryError](err)
				if !ok || missing.Library != library || cluster != nil {
					t.Fatalf("got %v, want a %T", err, missing)
				}
				for _, want := range []string{library, "librados2"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("got %q, want it to name %q", err, want)
					}
				}
			}
		})
	}
}
