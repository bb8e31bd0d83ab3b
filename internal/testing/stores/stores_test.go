package stores

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/localstore"
)

func TestMain(m *testing.M) { os.Exit(Main(m.Run)) }

func TestEveryTestOfABinarySharesOneServer(t *testing.T) {
	t.Parallel()
	if first, second := Etcd(t), Etcd(t); first != second {
		t.Errorf("two servers: %s and %s", first.Addr(), second.Addr())
	}
}

func TestAServerOfATestsOwnGoesWhenTheTestEnds(t *testing.T) {
	t.Parallel()
	var own *localstore.Etcd
	t.Run("a test with a server", func(t *testing.T) {
		own = OwnEtcd(t, localstore.EtcdOptions{})
		if shared := Etcd(t); own == shared {
			t.Error("it is the shared one")
		}
	})
	if own == nil {
		t.Skip("there is no server")
	}
	if own.Err() == nil {
		t.Error("it still runs")
	}
	if _, err := os.Stat(own.Dir()); !os.IsNotExist(err) {
		t.Errorf("got %v, want that its directory has gone", err)
	}
}

// verdict is a test that only notes how it was ended.
type verdict struct {
	testing.TB

	got string
}

func (v *verdict) Skip(...any)  { v.got = "skipped"; runtime.Goexit() }
func (v *verdict) Fatal(...any) { v.got = "failed"; runtime.Goexit() }

// judge runs a test of its own and returns how it ended.
func judge(t *testing.T, test func(*verdict)) string {
	t.Helper()
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(v)
		v.got = "passed"
	}()
	<-done

	return v.got
}

func TestATestWithoutItsServer(t *testing.T) {
	missing := fmt.Errorf("start: %w", &localstore.MissingServerError{Package: "p", Binary: "b"})
	for name, test := range map[string]struct {
		err      error
		required string
		want     string
	}{
		"goes on when there is nothing wrong":           {want: "passed"},
		"is skipped where the server is not installed":  {err: missing, want: "skipped"},
		"fails there when all are required":             {err: missing, required: "1", want: "failed"},
		"fails when the server is there and not of use": {err: errors.New("it broke"), want: "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("LOCKSTEP_REQUIRE_ALL", test.required)
			if got := judge(t, func(v *verdict) { require(v, test.err) }); got != test.want {
				t.Errorf("it %s, want %s", got, test.want)
			}
		})
	}
}

func TestWhatADeadTestBinaryLeftIsRemoved(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	b := binary{}
	ours, err := b.directory("etcd")
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(temp, fmt.Sprintf("%s%d-1", dirPrefix, os.Getpid())) // our pid, of somebody before
	if err := os.MkdirAll(filepath.Join(dead, "etcd-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	sweep()
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("got %v, want that what was left has gone", err)
	}
	if _, err := os.Stat(ours); err != nil {
		t.Errorf("ours: %v", err)
	}
}

func TestAServerThatFailsToStartLeavesTheNextTestItsError(t *testing.T) {
	t.Parallel()
	broken := errors.New("it broke")
	starts := 0
	for range 2 {
		got := judge(t, func(v *verdict) {
			shared(v, "broken", func(context.Context, string) (*localstore.Etcd, error) {
				starts++

				return nil, broken
			})
		})
		if got != "failed" {
			t.Errorf("it %s, want failed", got)
		}
	}
	if starts != 1 {
		t.Errorf("it was started %d times, want once", starts)
	}
}
