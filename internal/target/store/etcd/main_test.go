package etcd

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestMain(m *testing.M) { os.Exit(stores.Main(m.Run)) }

// canary is a value that no error may have.
const canary = "s3cret-canary"

// targetOf is a server as its LiveStore describes it.
func targetOf(e *localstore.Etcd) store.Target {
	return store.Target{Endpoints: []string{e.Addr()}, Connect: 10 * time.Second, Command: 10 * time.Second}
}

// session opens a session that ends with the test.
func sessionTo(t *testing.T, target store.Target, options ...grpc.DialOption) *session {
	t.Helper()
	s, err := open(t.Context(), target, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)

	return s
}

// clientOf is an administrator's client. What the test leaves below its prefix goes when it ends.
func clientOf(t *testing.T, e *localstore.Etcd) *clientv3.Client {
	t.Helper()
	c, err := e.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	prefix, ctx := t.Name()+"/", context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		if e.Err() == nil { // it may have been killed
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			_, _ = c.Delete(ctx, prefix, clientv3.WithPrefix())
		}
		_ = c.Close()
	})

	return c
}

// key is a setting below a prefix of the test's own.
func key(t *testing.T, name string) live.Setting {
	t.Helper()

	return live.Setting{Prefix: t.Name() + "/", Name: name}
}

func set(s live.Setting, text string) live.Change {
	return live.Change{Setting: s, To: live.Text(text)}
}

func unset(s live.Setting) live.Change { return live.Change{Setting: s} }

func apply(t *testing.T, s *session, changes ...live.Change) {
	t.Helper()
	if err := s.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// stored reads what is stored for settings that have no problem.
func stored(t *testing.T, s *session, settings ...live.Setting) []live.Value {
	t.Helper()
	states, err := s.Read(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]live.Value, len(states))
	for i, state := range states {
		if state.Problem != nil {
			t.Fatalf("%s: %s", state.Setting.ID(), state.Problem.Message)
		}
		values[i] = state.Stored
	}

	return values
}

// put writes a key as somebody else.
func put(t *testing.T, c *clientv3.Client, s live.Setting, text string) {
	t.Helper()
	if _, err := c.Put(t.Context(), s.Prefix+s.Name, text); err != nil {
		t.Fatal(err)
	}
}

// refused returns why a change was refused.
func refused(t *testing.T, err error) *store.RefusedError {
	t.Helper()
	r, ok := errors.AsType[*store.RefusedError](err)
	if !ok {
		t.Fatalf("got %v, want a refusal", err)
	}
	hides(t, err)

	return r
}

// hides fails the test if the error tells a value.
func hides(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("the error tells the value: %v", err)
	}
}
