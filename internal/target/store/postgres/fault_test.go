package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

const (
	// short is how long a command may take where it will not be answered.
	short = 500 * time.Millisecond
	// bound is what a call may take then, on a machine that does a lot besides.
	bound = 10 * time.Second
)

// impatient opens a session by an address whose commands may not take long.
func (w *world) impatient(addr string) *session {
	w.t.Helper()

	target := w.target()
	target.Endpoints, target.Connect, target.Command = []string{addr}, bound/2, short

	return w.open(target)
}

// unknown checks that a call ended in time and with an error that says nothing of the outcome.
func unknown(t *testing.T, call func() error) {
	t.Helper()

	started := time.Now()

	err := call()
	if _, isRefused := errors.AsType[*store.RefusedError](err); err == nil || isRefused || errors.Is(err, store.ErrLogin) {
		t.Errorf("got %v, want that it is not known", err)
	}

	if took := time.Since(started); took > bound {
		t.Errorf("it took %s", took)
	}
}

func TestAServerThatHangsIsNotWaitedFor(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	s := w.impatient(w.Addr())
	setting := param("work_mem")

	if err := w.Pause(); err != nil {
		t.Fatal(err)
	}

	unknown(t, func() error { return s.Apply(t.Context(), []live.Change{set(setting, "9MB")}) })
	unknown(t, func() error { return second(s.Read(t.Context(), []live.Setting{setting})) })

	if err := w.Resume(); err != nil {
		t.Fatal(err)
	}

	if state := readBy(t, s, setting)[0]; state.Stored.Set || state.Running != live.Text("4096") {
		t.Errorf("got %+v, want what it was", state)
	}
}

// A statement that waits in the server when its time is up must not come in after the look at what became of it.
func TestAStatementThatWasLeftBehindDoesNotComeInLater(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	former := w.role("locked")
	s := w.impatient(w.Addr())
	password, role := live.Setting{Role: "locked", Password: true}, live.Setting{Role: "locked", Name: "work_mem"}

	tx, err := w.client().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	// Somebody holds the role's row.
	if _, err := tx.Exec(t.Context(), "SELECT FROM pg_authid WHERE rolname = 'locked' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}

	for _, frozen := range []bool{false, true} {
		unknown(t, func() error {
			if frozen {
				stop := w.pauseWhenSomebodyWaits()
				defer stop()
			}

			return s.Apply(t.Context(), []live.Change{set(role, "9MB"), set(password, "changed")})
		})

		if frozen {
			if err := w.Resume(); err != nil {
				t.Fatal(err)
			}
		}
	}

	before := readBy(t, s, password, role)

	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}

	after := readBy(t, s, password, role)
	if before[0].Stored != after[0].Stored || after[1].Stored.Set || !accepts(t, s, "locked", former) {
		t.Errorf("got %+v, and then %+v", before, after)
	}
}

// pauseWhenSomebodyWaits pauses the server as soon as a session of it waits for a lock.
func (w *world) pauseWhenSomebodyWaits() (stop func()) {
	w.t.Helper()

	c := w.client()
	done := make(chan error, 1)

	go func() {
		for {
			waits := false

			err := c.QueryRow(w.t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted) FROM pg_sleep(0.005)").Scan(&waits)
			if err == nil && waits {
				err = w.Pause()
			}

			if err != nil || waits {
				done <- err

				return
			}
		}
	}()

	return func() {
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

// A reload goes by the server's main process.
func TestAReloadThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	s := w.impatient(w.Addr())
	setting := param("work_mem")
	observer := w.client() // nobody can log in meanwhile

	content, err := os.ReadFile(filepath.Join(w.Data(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}

	line, _, _ := strings.Cut(string(content), "\n")

	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}

	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}

	unknown(t, func() error { return s.Apply(t.Context(), []live.Change{set(setting, "9MB")}) })

	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}

	// The reload comes now; a session knows when it has.
	for running := ""; running != "9MB"; {
		if err := observer.QueryRow(t.Context(), "SELECT current_setting('work_mem') FROM pg_sleep(0.005)").Scan(&running); err != nil {
			t.Fatal(err)
		}
	}

	if state := readBy(t, s, setting)[0]; state.Stored != live.Text("9MB") || state.Running != live.Text("9216") {
		t.Errorf("got %+v", state)
	}
}

func TestWhatWasAnsweredOutlivesACrash(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{Durable: true})
	former := w.role("somebody")
	system, role, password := param("work_mem"), live.Setting{Role: "somebody", Name: "work_mem"}, live.Setting{Role: "somebody", Password: true}

	for round := range 3 {
		text := fmt.Sprintf("%dMB", 10+round)
		w.apply(set(system, text), set(role, text), set(password, "round "+text))

		if err := w.Kill(); err != nil {
			t.Fatal(err)
		}

		if _, err := w.session.Read(t.Context(), []live.Setting{system}); err == nil || errors.Is(err, store.ErrLogin) {
			t.Errorf("a server that is down: got %v", err)
		}

		if err := w.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}

		for _, state := range w.read(system, role) {
			if state.Stored != live.Text(text) || !state.Rule.Same(state.Running.Text, text) {
				t.Errorf("got %+v, want %s", state, text)
			}
		}

		if !accepts(t, w.session, "somebody", "round "+text) || accepts(t, w.session, "somebody", former) {
			t.Error("the password is not the new one")
		}
	}
}

func TestASessionHealsWhenTheServerWasRestarted(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	s := param("work_mem")

	for round := range 3 {
		if err := w.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}

		w.apply(set(s, fmt.Sprintf("%dMB", 10+round))) // the first call after it
	}

	w.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")

	if state := w.one(s); state.Stored != live.Text("12MB") {
		t.Errorf("got %+v", state)
	}
}

// Whoever is logged in stays so. The next login needs the new password, and the controller opens a session with it.
func TestTheSessionsOwnPasswordIsRotated(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	s := param("work_mem")
	own := live.Setting{Role: "postgres", Password: true}

	w.apply(set(own, "rotated"))
	w.apply(set(s, "9MB"))

	if !accepts(t, w.session, "postgres", "rotated") {
		t.Error("the new password is not accepted")
	}

	if err := w.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}

	if _, err := w.session.Read(t.Context(), []live.Setting{s}); !errors.Is(err, store.ErrLogin) {
		t.Errorf("got %v, want a failed login", err)
	}

	target := w.target()
	target.Password = "rotated"

	if state := readBy(t, w.open(target), s)[0]; state.Stored != live.Text("9MB") {
		t.Errorf("got %+v", state)
	}
}

// A standby has settings of its own, and the roles of its primary.
func TestAStandbyTakesSettingsOfTheServerAndNoOthers(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	w.role("somebody")

	if err := os.WriteFile(filepath.Join(w.Data(), "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}

	if err := w.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}

	w.apply(set(param("work_mem"), "9MB"))

	if shown := w.show("work_mem"); shown != "9MB" {
		t.Errorf("a new session has %s", shown)
	}

	for _, s := range []live.Setting{{Role: "somebody", Name: "work_mem"}, {Database: "postgres", Name: "work_mem"}, {Role: "somebody", Password: true}} {
		change := []live.Change{set(param("temp_buffers"), "2MB"), set(s, "99")}

		for what, err := range map[string]error{"Check": w.session.Check(t.Context(), change), "Apply": w.session.Apply(t.Context(), change)} {
			if r := refused(t, err); r.Setting != s || !strings.Contains(r.Reason, "standby") {
				t.Errorf("%s of %s: got %v", what, s.ID(), r)
			}
		}
	}
}

// A hundred changes, while others look: what is left is the last of them.
func TestAfterAHundredRotationsTheLastOneIsLeft(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	w.role("somebody")

	system, password := param("work_mem"), live.Setting{Role: "somebody", Password: true}
	ctx, cancel := context.WithCancel(t.Context())

	var all sync.WaitGroup

	for range 3 {
		s := w.open(w.target())

		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Read(ctx, []live.Setting{system, password}); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}

	for round := range 100 {
		if err := w.session.Apply(t.Context(), []live.Change{set(system, fmt.Sprintf("%dMB", 10+round)), set(password, fmt.Sprintf("round %d", round))}); err != nil {
			t.Fatal(err)
		}
	}

	cancel()
	all.Wait()

	if state := w.one(system); state.Stored != live.Text("109MB") || w.show("work_mem") != "109MB" {
		t.Errorf("got %+v", state)
	}

	if !accepts(t, w.session, "somebody", "round 99") || accepts(t, w.session, "somebody", "round 98") {
		t.Error("not the last password is the password")
	}
}

// proxy passes bytes on to a server, and lets accidents happen.
type proxy struct {
	net.Listener

	accident atomic.Pointer[accident]
}

// accident happens once, when the client has sent something that contains a text.
type accident struct {
	at string
	// forward lets the server have what was sent.
	forward bool
	// hang keeps the connection open and says nothing more; else it is cut.
	hang bool
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	p := &proxy{Listener: l}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))

	var all sync.WaitGroup

	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}

			all.Go(func() { p.serve(ctx, client, to) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()

		cancel()
		all.Wait()
	})

	return p
}

func (p *proxy) serve(ctx context.Context, client net.Conn, to string) {
	defer func() { _ = client.Close() }()

	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}

	defer func() { _ = server.Close() }()
	defer context.AfterFunc(ctx, func() { _, _ = client.Close(), server.Close() })()

	silent := &atomic.Bool{}

	go func() {
		_, _ = io.Copy(writer(func(b []byte) (int, error) {
			if silent.Load() {
				return len(b), nil
			}

			return client.Write(b)
		}), server)
		_ = client.Close()
	}()

	_, _ = io.Copy(writer(func(b []byte) (int, error) {
		a := p.accident.Load()
		if a == nil || !bytes.Contains(b, []byte(a.at)) || !p.accident.CompareAndSwap(a, nil) {
			return server.Write(b)
		}

		silent.Store(true)

		if a.forward {
			if _, err := server.Write(b); err != nil {
				return 0, err
			}
		}

		if a.hang {
			return len(b), nil
		}

		return 0, errors.New("cut")
	}), client)
}

// writer is a function that writes.
type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// Whatever is lost on the way: the call ends with an error in time, and the session tells what has come of it, as
// everybody else sees it, and it stays so.
func TestAfterAnAccidentOnTheWayTheTruthIsRead(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	w.role("somebody")

	p := newProxy(t, w.Addr())
	s := w.impatient(p.Addr().String())
	system, role := param("work_mem"), live.Setting{Role: "somebody", Name: "work_mem"}
	round := 0

	for _, at := range []string{"ALTER SYSTEM", "ALTER ROLE", "pg_reload_conf", "pg_conf_load_time() <>", commit} {
		for _, forward := range []bool{false, true} {
			for _, hang := range []bool{false, true} {
				round++
				text := fmt.Sprintf("%dMB", 10+round)
				p.accident.Store(&accident{at: at, forward: forward, hang: hang})

				unknown(t, func() error { return s.Apply(t.Context(), []live.Change{set(system, text), set(role, text)}) })

				if p.accident.Load() != nil {
					t.Fatalf("%s: nothing has happened", at)
				}

				first := readBy(t, s, system, role)
				w.admin("SELECT pg_sleep(0.05)")

				again := readBy(t, s, system, role)
				for i := range first {
					if first[i].Stored != again[i].Stored {
						t.Errorf("%s (forwarded: %t, hangs: %t): %s is first %+v and then %+v", at, forward, hang, first[i].Setting.ID(), first[i], again[i])
					}
				}

				if shown := w.show("work_mem"); !again[0].Rule.Same(again[0].Running.Text, shown) {
					t.Errorf("%s (forwarded: %t, hangs: %t): a new session has %s, we say %+v", at, forward, hang, shown, again[0])
				}
			}
		}
	}

	if err := s.Apply(t.Context(), []live.Change{set(system, "99MB"), set(role, "99MB")}); err != nil {
		t.Fatal(err)
	}

	if shown := w.show("work_mem"); shown != "99MB" {
		t.Errorf("a new session has %s", shown)
	}
}

func TestACallThatWaitsForAnotherOneDoesNotWaitForEver(t *testing.T) {
	t.Parallel()

	w := shared(t)
	s := w.impatient(w.Addr())
	inside, leave := make(chan struct{}), make(chan struct{})

	go func() {
		_ = s.use(t.Context(), func(context.Context, *place) error {
			close(inside)
			<-leave

			return nil
		})
	}()

	<-inside
	unknown(t, func() error { return second(s.Read(t.Context(), []live.Setting{param("work_mem")})) })
	close(leave)

	if state := readBy(t, s, param("work_mem"))[0]; state.Problem != nil {
		t.Errorf("got %+v", state)
	}
}
