package mysql

import (
	"errors"
	"testing"
	"time"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// inTime says whether a call ended in about the time that commands are given. It is generous: the machine may be busy.
func inTime(t *testing.T, what string, limit time.Duration, call func() error) {
	t.Helper()
	began := time.Now()
	err := call()
	if took := time.Since(began); err == nil || took < limit || took > limit+5*time.Second {
		t.Errorf("%s: got %v after %s, want an error after about %s", what, err, took, limit)
	}
	if _, refused := errors.AsType[*store.RefusedError](err); refused || errors.Is(err, store.ErrLogin) {
		t.Errorf("%s: got %v, which the server has not said", what, err)
	}
}

func TestAServerThatStandsStillIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	exec(t, admin(t, m), "CREATE USER app IDENTIFIED BY 'x'")
	target := target(m)
	target.Connect, target.Command = time.Second, 300*time.Millisecond
	s := dial(t, target)
	// Apply asks and then tells; only what it tells is to meet a server that stands still.
	k, err := s.learn(t.Context(), []live.Change{to("max_connections", "160")})
	if err != nil {
		t.Fatal(err)
	}
	steps, err := s.steps([]live.Change{to("max_connections", "160")}, k)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.own(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := m.Pause(); err != nil {
		t.Fatal(err)
	}
	inTime(t, "a write", target.Command, func() error { return s.take(t.Context(), conn, steps[0]) })
	inTime(t, "a read", target.Command, func() error { _, err := s.Read(t.Context(), variables("port")); return err })
	inTime(t, "a change", target.Command, func() error { return s.Apply(t.Context(), []live.Change{to("max_connections", "170")}) })
	inTime(t, "a check", target.Command, func() error { return s.Check(t.Context(), []live.Change{to("max_connections", "170")}) })
	inTime(t, "a probe", target.Command, func() error { _, err := s.Probe(t.Context()); return err })
	inTime(t, "a trial", target.Command, func() error { _, err := s.Accepts(t.Context(), "app", "x"); return err })
	inTime(t, "a login", target.Connect, func() error { _, err := Driver().Open(t.Context(), target); return err })
	if err := m.Resume(); err != nil {
		t.Fatal(err)
	}
	// What was written is done when the server goes on, though we were told nothing: the truth is what is read.
	deadline := time.After(time.Minute)
	for read(t, s, variables("max_connections")...)[0].Stored.Text != "160" {
		select {
		case <-deadline:
			t.Fatal("the write has no effect")
		default:
		}
	}
}

func TestAfterACrashTheValuesAreLostAndTheProbeTells(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	s := dial(t, target(m))
	mark := func() string {
		t.Helper()
		mark, err := s.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		return mark
	}
	fresh := mark()
	apply(t, s, to("max_connections", "160"))
	set := mark()
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), variables("port")); err == nil || errors.Is(err, store.ErrLogin) {
		t.Errorf("got %v, want a server that is not there", err)
	}
	if err := m.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, variables("max_connections")...)[0].Stored.Text; got != "151" {
		t.Errorf("got %s, want what the server starts with", got)
	}
	// A mark tells the second of the start: within one, the server is as it was at first.
	if now := mark(); now == set || set == fresh {
		t.Errorf("the marks are %s, %s and %s, want the second to be another one", fresh, set, now)
	}
}

func TestTheMarkIsAnotherOneWheneverSomethingWasSetAndOnlyThen(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x", Args: []string{"--log-bin=bin", "--server-id=7"}})
	s, db := dial(t, target(m)), admin(t, m)
	exec(t, db, "CREATE DATABASE d", "CREATE TABLE d.t (k INT)")
	last := ""
	probe := func(what string, changes bool, statements ...string) {
		t.Helper()
		exec(t, db, statements...)
		mark, err := s.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if (mark != last) != changes {
			t.Errorf("%s: the mark went from %s to %s", what, last, mark)
		}
		last = mark
	}
	probe("the first", true)
	probe("nothing", false)
	probe("data", false, "INSERT INTO d.t VALUES (1)", "SELECT k FROM d.t", "SET SESSION sql_mode = ''")
	probe("a number", true, "SET GLOBAL max_connections = 160")
	probe("the same number", false, "SET GLOBAL max_connections = 160")
	probe("a word of a set", true, "SET GLOBAL sql_mode = 'ANSI'")
	probe("a text", true, "SET GLOBAL init_connect = 'SELECT 1'")
	probe("an account", true, "CREATE USER app IDENTIFIED BY 'a'")
	probe("a password", true, "ALTER USER app IDENTIFIED BY 'b'")
	probe("the log", false, "FLUSH LOGS", "INSERT INTO d.t VALUES (2)")
}

func TestAConnectionThatTheServerHasClosedIsReplaced(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	s, db := dial(t, target(m)), admin(t, m)
	for range 20 {
		id := value(t, s.db, "SELECT CONNECTION_ID()")
		exec(t, db, "KILL "+id)
		if err := s.Apply(t.Context(), []live.Change{to("max_connections", "160")}); err != nil {
			// It was closed after it was looked at: nobody knows what became of the change, so it was not made again.
			if _, refused := errors.AsType[*store.RefusedError](err); refused {
				t.Error(err)
			}
		}
		read(t, s, variables("max_connections")...)
	}
}
