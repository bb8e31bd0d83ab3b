package ceph

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph/rados"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestMain(m *testing.M) { os.Exit(stores.Main(m.Run)) }

// limit is enough for a busy machine.
const limit = 10 * time.Second

// targetOf is how the administrator reaches a cluster.
func targetOf(c *localstore.Ceph) store.Target {
	return store.Target{
		Endpoints: []string{c.Endpoint()}, Username: localstore.CephAdmin, Password: c.AdminKey(), Connect: limit, Command: limit,
	}
}

// begin returns a session that ends with the test.
func begin(t testing.TB, target store.Target) store.Session {
	t.Helper()

	s, err := Driver(clock.RealClock{}).Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(s.Close)

	return s
}

// read returns what a session says of one setting.
func read(t testing.TB, s store.Session, setting live.Setting) live.State {
	t.Helper()

	states, err := s.Read(t.Context(), []live.Setting{setting})
	if err != nil || len(states) != 1 {
		t.Fatalf("read %s: got %d states and %v", setting.ID(), len(states), err)
	}

	return states[0]
}

// apply makes one change, which has to succeed.
func apply(t testing.TB, s store.Session, setting live.Setting, to live.Value) {
	t.Helper()

	if err := s.Apply(t.Context(), []live.Change{{Setting: setting, To: to}}); err != nil {
		t.Fatalf("apply %s: %v", setting.ID(), err)
	}
}

// refusal is the error of one change, which has to be refused.
func refusal(t testing.TB, s store.Session, setting live.Setting, to live.Value) *store.RefusedError {
	t.Helper()

	err := s.Apply(t.Context(), []live.Change{{Setting: setting, To: to}})

	refused, ok := errors.AsType[*store.RefusedError](err)
	if !ok {
		t.Fatalf("apply %s: got %v, want a %T", setting.ID(), err, refused)
	}

	return refused
}

// admin sends a command of the administrator.
func admin(t testing.TB, c *localstore.Ceph, command map[string]any) rados.Reply {
	t.Helper()

	reply, err := c.Admin().Do(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}

	return reply
}

// newest is the newest version of the database.
func newest(t testing.TB, c *localstore.Ceph) int64 {
	t.Helper()

	question := ask("config log")
	question["num"] = 1

	version, err := parseLog(admin(t, c, question).Out)
	if err != nil {
		t.Fatal(err)
	}

	return version
}

// within fails the test when something takes longer.
func within(t testing.TB, d time.Duration, what string, do func()) {
	t.Helper()

	start := time.Now()

	do()

	if took := time.Since(start); took > d {
		t.Errorf("%s took %s, want no more than %s", what, took, d)
	}
}

// briefly is a context that soon ends.
func briefly(t testing.TB, d time.Duration) context.Context {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)

	return ctx
}

// number is a value that is a whole number.
func number(n int) live.Value { return live.Text(strconv.Itoa(n)) }
