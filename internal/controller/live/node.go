package live

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// The pauses between two tries to connect.
const (
	firstRedial = time.Second
	lastRedial  = 30 * time.Second
)

// node is one endpoint of a store, or all of one that takes them together, and the connection to it. It is safe for
// concurrent use.
type node struct {
	name   string
	driver store.Driver
	target store.Target
	clock  clock.Clock
	// changed is called when the node was connected, or could not be, without any lock held.
	changed func(*node)
	// opened counts a try to connect.
	opened func()
	// recorded says which records there are of passwords that were in force before, and passwords reads them, the newest first,
	// with whether all could be read.
	recorded  func() string
	passwords func(ctx context.Context) (found []string, all bool)

	// recalled are the records of which no password has let us in. It belongs to the goroutine that connects.
	recalled string

	mu      sync.Mutex
	session store.Session
	// former is a session with what were the credentials before: it serves until the new ones are accepted.
	former store.Session
	// retired are sessions that were replaced and may have a call under way.
	retired []store.Session
	// successor is the node that has replaced this one and has its session: a change that is under way goes on there.
	successor *node

	err    error
	tried  bool
	worked bool
	broken chan struct{}
	// news is closed, and replaced, when the session is another one or what is held at the node may be.
	news chan struct{}
}

// signal is closed at the next news.
func (n *node) signal() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()

	return n.news
}

// tell has those look again who wait for news.
func (n *node) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()

	close(n.news)
	n.news = make(chan struct{})
}

// keep connects, and connects again whenever the connection breaks, until the context ends.
func (n *node) keep(ctx context.Context) {
	defer n.close()

	pause := firstRedial

	for ctx.Err() == nil {
		switch session, err := n.open(ctx, n.target); {
		case ctx.Err() != nil:
			return
		case err != nil:
			if errors.Is(err, store.ErrLogin) {
				n.recall(ctx)
			}

			n.down(err)
		default:
			n.up(session)
			n.serve(ctx)

			if ctx.Err() != nil {
				return
			}

			// One that has answered is connected to at once. One that lets us in and then does nothing is not asked all the time.
			if n.answered() {
				pause = firstRedial

				continue
			}
		}

		timer := n.clock.NewTimer(pause)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
		}

		pause = min(2*pause, lastRedial)
	}
}

// serve returns when the session is broken or the context ends. What it has replaced is closed once no call can be under
// way any more.
func (n *node) serve(ctx context.Context) {
	linger := n.clock.NewTimer(n.target.Command)
	defer linger.Stop()

	for {
		select {
		case <-linger.C():
			n.letRetiredGo()
		case <-n.broken:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (n *node) letRetiredGo() {
	n.mu.Lock()
	retired := n.retired
	n.retired = nil
	n.mu.Unlock()

	for _, session := range retired {
		session.Close()
	}
}

// now is the node that has the session by now.
func (n *node) now() *node {
	n.mu.Lock()
	successor := n.successor
	n.mu.Unlock()

	if successor == nil {
		return n
	}

	return successor.now()
}

// answered says whether the session has done anything that it was asked.
func (n *node) answered() bool {
	n.mu.Lock()
	defer n.mu.Unlock()

	return n.worked
}

// work takes note of what a session has said to a call, and returns it.
func (n *node) work(session store.Session, err error) error {
	if err != nil {
		n.failed(session, err)

		return err
	}

	n = n.now()

	n.mu.Lock()
	n.worked = n.worked || n.session == session
	n.mu.Unlock()

	return nil
}

// recall logs in with a password that was in force before: a rotation of the login itself may have been asked for while no
// manager ran, and is made through the former one.
func (n *node) recall(ctx context.Context) {
	n.mu.Lock()
	serves := n.former != nil
	n.mu.Unlock()

	records := n.recorded()
	if serves || records == n.recalled {
		return
	}

	passwords, all := n.passwords(ctx)

	for _, password := range passwords {
		target := n.target
		if target.Password == password {
			continue
		}

		target.Password = password

		switch session, err := n.open(ctx, target); {
		case err == nil:
			n.mu.Lock()
			n.former = session
			n.mu.Unlock()
			n.tell()
			n.changed(n)

			return
		case !errors.Is(err, store.ErrLogin):
			return // it may be the one
		}
	}

	if all {
		n.recalled = records // some stores lock a login that fails too often
	}
}

func (n *node) open(ctx context.Context, target store.Target) (store.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, target.Connect)
	defer cancel()

	n.opened()

	session, err := n.driver.Open(ctx, target)
	if err == nil && ctx.Err() != nil {
		session.Close()

		err = ctx.Err()
	}

	return session, err //nolint:wrapcheck // the driver says what, and the caller names the store
}

func (n *node) up(session store.Session) {
	n.mu.Lock()
	if n.former != nil {
		n.retired = append(n.retired, n.former)
	}

	n.session, n.former, n.err, n.tried, n.worked = session, nil, nil, true, false

	select {
	case <-n.broken:
	default:
	}
	n.mu.Unlock()

	n.tell()
	n.changed(n)
}

func (n *node) down(err error) {
	n.mu.Lock()
	news := !n.tried || n.err == nil || n.err.Error() != err.Error()
	n.err, n.tried = err, true
	n.mu.Unlock()

	if news {
		n.tell()
		n.changed(n)
	}
}

// get returns the session; else why there is none. A node that was not tried yet has neither.
func (n *node) get() (store.Session, error) {
	n = n.now()

	n.mu.Lock()
	defer n.mu.Unlock()

	switch {
	case n.session != nil:
		return n.session, nil
	case n.former != nil:
		return n.former, nil
	case !n.tried, n.err == nil:
		return nil, errConnecting
	}

	return nil, n.err
}

// state returns why the node is not what it should be; nil when it is connected with its own credentials.
func (n *node) state() error {
	n.mu.Lock()
	defer n.mu.Unlock()

	switch {
	case n.session != nil:
		return nil
	case !n.tried, n.err == nil:
		return errConnecting
	}

	return n.err
}

// version is what the store says of itself; empty when it is not connected.
func (n *node) version() string {
	session, err := n.get()
	if err != nil {
		return ""
	}

	return session.Version()
}

// failed takes a session out of use that did not do what was asked, unless the store merely refused it.
func (n *node) failed(session store.Session, err error) {
	if _, refused := errors.AsType[*store.RefusedError](err); refused || errors.Is(err, context.Canceled) {
		return
	}

	n = n.now()

	n.mu.Lock()
	current := n.session == session

	if current {
		n.session, n.err = nil, err
	} else if n.former == session {
		n.former = nil
	}
	n.mu.Unlock()

	session.Close()

	if !current {
		return
	}

	select {
	case n.broken <- struct{}{}:
	default:
	}

	n.tell()
	n.changed(n)
}

// inherit takes the session over of the node that this one replaces. Whoever still has that one uses this one by it.
func (n *node) inherit(from *node) {
	from.mu.Lock()
	defer from.mu.Unlock()

	n.mu.Lock()
	defer n.mu.Unlock()

	n.former, from.session = from.session, nil
	if n.former == nil {
		n.former, from.former = from.former, nil
	}

	from.successor = n
}

func (n *node) close() {
	n.mu.Lock()
	sessions := append([]store.Session{n.session, n.former}, n.retired...)
	n.session, n.former, n.retired = nil, nil, nil
	n.mu.Unlock()

	for _, s := range sessions {
		if s != nil {
			s.Close()
		}
	}
}

var errConnecting = errors.New("is being connected to")

// read asks a node for settings.
func (n *node) read(ctx context.Context, settings []live.Setting) ([]live.State, error) {
	session, err := n.get()
	if err != nil {
		return nil, err
	}

	states, err := session.Read(ctx, settings)

	return states, n.work(session, err)
}

// apply makes changes on a node.
func (n *node) apply(ctx context.Context, changes []live.Change) error {
	session, err := n.get()
	if err != nil {
		return err
	}

	err = session.Apply(ctx, changes)
	if err == nil {
		return n.work(session, nil)
	}

	if n.isFormer(session) {
		err = &formerLoginError{err}
	}

	n.failed(session, err)

	return err
}

// isFormer says whether a session has what were the credentials before.
func (n *node) isFormer(session store.Session) bool {
	n = n.now()

	n.mu.Lock()
	defer n.mu.Unlock()

	return n.session != session
}

// formerLoginError is what became of a call with the former credentials. With those of now it may be another.
type formerLoginError struct{ err error }

func (e *formerLoginError) Error() string {
	return e.err.Error() + " (to the login of before; the one that the LiveStore names now is still being tried)"
}

func (e *formerLoginError) Unwrap() error { return e.err }
