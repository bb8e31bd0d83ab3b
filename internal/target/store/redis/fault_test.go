package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestAServerThatHangsIsGivenUpAndMayHaveDoneIt(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	raw(t, r, "ACL", "SETUSER", "app", "on", ">first")
	s := openAt(t, r, short)
	read(t, s, named("hz"))
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	// It is sent over the connection that is there; those after it do not even get one.
	if err := s.Apply(t.Context(), to("hz", "11")); err == nil {
		t.Error("it was applied")
	}
	for name, do := range map[string]func() error{
		"apply": func() error { return s.Apply(t.Context(), to("hz", "12")) },
		"check": func() error { return s.Check(t.Context(), to("hz", "12")) },
		"read":  func() error { _, err := s.Read(t.Context(), []live.Setting{named("hz")}); return err },
		"probe": func() error { _, err := s.Probe(t.Context()); return err },
		"login": func() error { _, err := s.Accepts(t.Context(), "app", "first"); return err },
		"open":  func() error { _, err := Driver().Open(t.Context(), targetOf(r, short)); return err },
	} {
		err := do()
		if _, refused := errors.AsType[*store.RefusedError](err); err == nil || refused || errors.Is(err, store.ErrLogin) {
			t.Errorf("%s: got %v, want that nobody knows", name, err)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := r.Resume(); err != nil {
		t.Fatal(err)
	}
	// What was sent is done, once the server has come to that connection.
	late := openAt(t, r)
	for deadline := time.Now().Add(10 * time.Second); stored(t, late, "hz") != "11"; {
		if time.Now().After(deadline) {
			t.Fatal("what was sent was not done")
		}
	}
}

func TestACallEndsWithItsContextAndWithItsSession(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	for name, end := range map[string]func(s *session, cancel func()){
		"context": func(_ *session, cancel func()) { cancel() },
		"session": func(s *session, _ func()) { s.Close() },
	} {
		s := openAt(t, r)
		read(t, s, named("hz"))
		if err := r.Pause(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := s.Read(ctx, []live.Setting{named("hz")})
			done <- err
		}()
		end(s, cancel)
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s: it was answered", name)
			}
		case <-time.After(8 * time.Second): // before the command's own time is over
			t.Errorf("%s: the call goes on", name)
		}
		cancel()
		if err := r.Resume(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAServerThatIsDownIsAnErrorUntilItIsBack(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	s := openAt(t, r)
	apply(t, s, to("hz", "11"))
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), []live.Setting{named("hz")}); err == nil || errors.Is(err, store.ErrLogin) {
		t.Errorf("got %v", err)
	}
	if err := s.Apply(t.Context(), to("hz", "12")); err == nil {
		t.Error("it was applied")
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, s, "hz"); got != "10" {
		t.Errorf("hz is %s, want what a server without a file begins with", got)
	}
}

func TestWhatCanBeSetIsAskedAgainAfterARestart(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, localstore.RedisOptions{ConfigFile: true})
	s := openAt(t, r)
	if p := read(t, s, named("dbfilename"))[0].Problem; p == nil || p.Cause != live.CauseFixed {
		t.Fatalf("got %+v", p)
	}
	if err := appendTo(r.ConfigFile(), "enable-protected-configs yes\n"); err != nil {
		t.Fatal(err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := read(t, s, named("dbfilename"))[0].Problem; p == nil || p.Cause != live.CauseDangerous {
		t.Errorf("got %+v", p)
	}
}

func TestAServerThatIsBusyRefusesNothing(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, localstore.RedisOptions{Args: []string{"--busy-reply-threshold", "1"}})
	s := openAt(t, r)
	read(t, s, named("hz"))
	c := r.Client()
	defer c.Close()
	script := make(chan error)
	go func() { script <- c.Do(t.Context(), "EVAL", "while true do end", "0").Err() }()
	var err error
	for err == nil { // until the script runs
		_, err = s.Read(t.Context(), []live.Setting{named("hz")})
	}
	if _, refused := errors.AsType[*store.RefusedError](err); refused || !strings.Contains(err.Error(), "busy with a script (BUSY)") {
		t.Errorf("got %v", err)
	}
	err = s.Apply(t.Context(), to("hz", "11"))
	if _, refused := errors.AsType[*store.RefusedError](err); refused || err == nil || !strings.Contains(err.Error(), "BUSY") {
		t.Errorf("got %v", err)
	}
	raw(t, r, "SCRIPT", "KILL")
	<-script
	apply(t, s, to("hz", "11"))
}

func TestAServerWithAllItsClientsCannotBeReached(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	s := openAt(t, r)
	apply(t, s, to("maxclients", "1"))
	if _, err := Driver().Open(t.Context(), targetOf(r)); err == nil || errors.Is(err, store.ErrLogin) {
		t.Errorf("got %v", err)
	}
	apply(t, s, to("maxclients", "100"))
}

func TestOverTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	dir := t.TempDir()
	ca.write(t, dir)
	_, port, _ := net.SplitHostPort(freeAddress(t))
	r := stores.OwnRedis(t, localstore.RedisOptions{Args: []string{
		"--tls-port", port, "--tls-auth-clients", "no", "--tls-ca-cert-file", filepath.Join(dir, "ca.crt"),
		"--tls-cert-file", filepath.Join(dir, "tls.crt"), "--tls-key-file", filepath.Join(dir, "tls.key"),
	}})
	over := func(config *tls.Config) store.Target {
		return targetOf(r, func(t *store.Target) {
			t.Endpoints, t.TLS = []string{net.JoinHostPort("127.0.0.1", port)}, config
		})
	}
	s := openTarget(t, over(&tls.Config{RootCAs: ca.pool}))
	apply(t, s, to("hz", "11"))
	if got := all(t, r)["hz"]; got != "11" {
		t.Errorf("hz is %s", got)
	}
	for name, config := range map[string]*tls.Config{
		"who signed it is not known": {RootCAs: x509.NewCertPool()},
		"it is for another name":     {RootCAs: ca.pool, ServerName: "elsewhere.example"},
	} {
		if _, err := Driver().Open(t.Context(), over(config)); err == nil || errors.Is(err, store.ErrLogin) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
