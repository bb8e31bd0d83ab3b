package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// fault is what happens on a wire. The zero fault is none.
type fault struct {
	// delay is how long every piece is on its way.
	delay time.Duration
	// The others begin with the piece on its way to the server that has the marker in it, or once as many pieces have gone there
	// as skip says.
	marker string
	skip   int
	// cutThere ends the connection in the middle of that piece, cutBack in the middle of the answer to it.
	cutThere, cutBack bool
	// swallow loses that piece and all that follow on the connection, in both directions, without a word.
	swallow bool
	// refuse lets nobody connect from then on.
	refuse bool
}

// wire is a TCP proxy before a server, with faults.
type wire struct {
	listener net.Listener
	server   string
	all      sync.WaitGroup
	ended    chan struct{}

	mu    sync.Mutex
	fault fault
	// begun says that the fault has begun.
	begun bool
	pairs map[*pair]bool
}

// pair is a client's connection and the one to the server that belongs to it.
type pair struct {
	client, server net.Conn
	// struck is what the fault that has struck the connection does to it.
	struck fault
}

func (p *pair) close() { _, _ = p.client.Close(), p.server.Close() }

// newWire returns a wire to a server that is said later.
func newWire(t testing.TB) *wire {
	t.Helper()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	return &wire{listener: listener, ended: make(chan struct{}), pairs: map[*pair]bool{}}
}

// to begins to pass on to a server, until the test has ended.
func (w *wire) to(t testing.TB, server string) (address string) {
	t.Helper()

	w.server = server
	w.all.Go(w.serve)
	t.Cleanup(func() {
		_ = w.listener.Close()
		close(w.ended)
		w.part(func(*pair) bool { return true })
		w.all.Wait()
	})

	return w.listener.Addr().String()
}

// set puts a fault in force, or ends it. Connections on which something was lost are closed by that: what came over them then
// would make no sense.
func (w *wire) set(f fault) {
	w.mu.Lock()
	w.fault, w.begun = f, false
	w.mu.Unlock()
	w.part(func(p *pair) bool { return p.struck.swallow })
}

// part closes connections.
func (w *wire) part(which func(*pair) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()

	for p := range w.pairs {
		if which(p) {
			p.close()
		}
	}
}

func (w *wire) serve() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}

		w.mu.Lock()
		refused := w.begun && w.fault.refuse
		w.mu.Unlock()

		server, err := net.Dial("tcp", w.server)
		if err != nil || refused {
			_ = client.Close()

			if err == nil {
				_ = server.Close()
			}

			continue
		}

		p := &pair{client: client, server: server}

		w.mu.Lock()
		w.pairs[p] = true
		w.mu.Unlock()

		w.all.Go(func() { w.pass(p, client, server, true) })
		w.all.Go(func() { w.pass(p, server, client, false) })
	}
}

// strike says what is to become of a piece of a connection.
func (w *wire) strike(p *pair, piece []byte, there bool) fault {
	w.mu.Lock()
	defer w.mu.Unlock()

	if there && !w.begun && w.fault != (fault{}) && bytes.Contains(piece, []byte(w.fault.marker)) {
		w.fault.skip--

		if w.fault.skip < 0 {
			w.begun, p.struck = true, w.fault
		}
	}

	f := p.struck
	f.delay = w.fault.delay

	return f
}

// pass carries one direction of a connection, and ends both with it.
func (w *wire) pass(p *pair, from io.Reader, to io.Writer, there bool) {
	defer func() {
		p.close()
		w.mu.Lock()
		delete(w.pairs, p)
		w.mu.Unlock()
	}()

	for piece := make([]byte, 32<<10); ; {
		n, err := from.Read(piece)
		if err != nil {
			return
		}

		f := w.strike(p, piece[:n], there)

		switch {
		case f.swallow:
			continue
		case f.cutThere, f.cutBack && !there:
			_, _ = to.Write(piece[:n/2])

			return
		case f.delay > 0:
			until(f.delay, w.ended)
		}

		if _, err := to.Write(piece[:n]); err != nil {
			return
		}
	}
}

// wired shows that whatever happens between the manager and its stores, a change is there as a whole or not at all.
func (w *liveWorld) wired() {
	wires := map[string]*wire{"cache": newWire(w), "db": newWire(w), "ceph": newWire(w)}
	s := w.trio(func(name, address string) string { return wires[name].to(w, address) })
	before := s.whole()

	s.rotate(0)
	w.create(s.limits())
	w.manage()
	w.config("limits", "to be in force", at(1))

	n, has, dice := 0, 0, w.dice()
	slow := 550 * time.Millisecond // a command has one second, and an answer as long a way

	for _, f := range []struct {
		fault

		does string
	}{
		{fault{cutThere: true}, "is cut in the middle of the change"},
		{fault{cutBack: true}, "is cut in the middle of the answer to the change"},
		{fault{swallow: true}, "loses the change and all that follows"},
		{fault{cutThere: true, refuse: true}, "is cut in the middle of the change and cannot be made anew"},
		{fault{delay: slow}, "takes longer than anybody waits"},
		{fault{delay: time.Duration(5+dice.IntN(30)) * time.Millisecond}, "takes a little longer"},
	} {
		for _, store := range []string{"cache", "db", "ceph"} {
			// What goes to Ceph is encrypted: after so many pieces it is somewhere between the first question and the last. The others
			// are asked first whether they would take a change, some by the same words.
			f.marker, f.skip = map[string]string{"cache": "SET", "db": "ALTER SYSTEM"}[store], dice.IntN(3)
			if store == "ceph" {
				f.skip = dice.IntN(12)
			}

			n++
			wires[store].set(f.fault)

			j := judgement{trio: s, fault: fmt.Sprintf("the wire of %s %s", store, f.does), before: s.newest()}
			s.rotate(n)

			if j.judge(has, n, func() { wires[store].set(fault{}) }) {
				has = n
			}
		}
	}

	s.ends(n+1, before)
}

// judgement is what is told of one rotation.
type judgement struct {
	*trio

	fault string
	// before is the newest change of the history before it.
	before int64
}

func (t *trio) newest() int64 {
	t.Helper()

	if h := now(t.world, t.liveConfig("limits")).Status.History; len(h) > 0 {
		return h[0].Revision
	}

	return 0
}

// judge waits until it is told what became of a rotation, and checks that it is so: it says whether the stores have it, and not
// what they had. Heal ends the fault: it does so as soon as it is known that something is wrong.
func (j judgement) judge(had, n int, heal func()) bool {
	j.Helper()

	l := j.config("limits", "to be judged while "+j.fault, j.is("there", "back", "unsure"))
	first := j.verdict(l)

	heal()

	if first == "unsure" {
		l = j.config("limits", "to be judged after "+j.fault, j.is("there", "back"))
	}

	last := j.verdict(l)
	j.Logf("%s: %s, %s", j.fault, first, last)

	if last == "there" {
		j.same(j.fault+": it is fully there", rotation(n), j.now())
	} else {
		// The next try is seconds away.
		j.same(j.fault+": it is fully back", rotation(had), j.now())
	}

	return last == "there"
}

// is a condition: that one of the verdicts is told of the Secret as it is now.
func (j judgement) is(verdicts ...string) func(*lockstepv1alpha1.LiveConfig) bool {
	secret := now(j.world, &corev1.Secret{ObjectMeta: j.meta("limits")})

	return func(l *lockstepv1alpha1.LiveConfig) bool {
		return slices.Contains(verdicts, j.verdict(l)) && saw(l, secret)
	}
}

// verdict is what a LiveConfig tells of the change.
func (j judgement) verdict(l *lockstepv1alpha1.LiveConfig) string {
	tried := len(l.Status.History) > 0 && l.Status.History[0].Revision > j.before

	switch {
	case isReady(l):
		return "there"
	case tried && told("RolledBack", "True/")(l):
		return "back"
	case tried && told("RolledBack", "Unknown/")(l), told("Prechecked", "False/StoreUnavailable")(l):
		return "unsure"
	}

	return ""
}
