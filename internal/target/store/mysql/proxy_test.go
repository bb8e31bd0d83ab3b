package mysql

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// proxy passes bytes on between clients and a server, and loses answers when told.
type proxy struct {
	listener net.Listener
	server   string
	// lose says that the next answer ends its connection instead of arriving.
	lose atomic.Bool
	all  sync.WaitGroup
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: server}
	p.all.Go(p.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		p.all.Wait()
	})

	return p
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()

			continue
		}
		end := func() { _, _ = client.Close(), server.Close() }
		p.all.Go(func() {
			defer end()
			_, _ = io.Copy(server, client)
		})
		p.all.Go(func() {
			defer end()
			_, _ = io.Copy(answers{client, &p.lose}, server)
		})
	}
}

// answers is the way to the client.
type answers struct {
	net.Conn

	lose *atomic.Bool
}

func (a answers) Write(b []byte) (int, error) {
	if a.lose.CompareAndSwap(true, false) {
		return 0, io.ErrClosedPipe
	}

	return a.Conn.Write(b)
}

// ReadFrom keeps io.Copy from going past Write.
func (a answers) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{a}, r) }

func TestAWriteWhoseAnswerIsLostIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x", Args: []string{"--general-log=1", "--general-log-file=general.log"}})
	exec(t, admin(t, m), "CREATE USER app IDENTIFIED BY 'x'")
	p := newProxy(t, m.Addr())
	target := target(m)
	target.Endpoints = []string{p.listener.Addr().String()}
	s := dial(t, target)
	for name, c := range map[string]live.Change{"max_connections = 177": to("max_connections", "177"), "ALTER USER `app`": password("app", "y", false)} {
		k, err := s.learn(t.Context(), []live.Change{c})
		if err != nil {
			t.Fatal(err)
		}
		steps, err := s.steps([]live.Change{c}, k)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := s.own(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.lose.Store(true)
		err = s.take(t.Context(), conn, steps[0])
		_ = conn.Close()
		if _, refused := errors.AsType[*store.RefusedError](err); err == nil || refused {
			t.Errorf("%s: got %v, want an error that says nothing of the change", name, err)
		}
		// The session heals itself, and tells the truth: the change was made.
		state := read(t, s, c.Setting)[0]
		if !state.Rule.Same(state.Stored.Text, c.To.Text) {
			t.Errorf("%s: got %s", name, state.Stored.Text)
		}
		content, err := os.ReadFile(filepath.Join(m.Dir(), "data", "general.log"))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(content), name); n != 1 {
			t.Errorf("%s was sent %d times", name, n)
		}
	}
}
