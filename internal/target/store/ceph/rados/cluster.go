//go:build linux && !noceph

package rados

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

// threads is how many calls of one connection may be in the library at once: each of them holds a thread of the
// system. The monitors take far less to be kept busy.
const threads = 32

// Cluster is a connection that lives until it is closed, through restarts and changes of the monitors. It is safe for
// concurrent use.
type Cluster struct {
	fn     *functions
	handle *byte
	slots  chan struct{}

	// mu keeps calls from beginning once closed is set.
	mu      sync.Mutex
	closed  bool
	calls   sync.WaitGroup
	closing chan struct{}
	down    chan struct{}
}

var _ Commander = (*Cluster)(nil)

// Connect logs in. It returns when the context ends, with its cause, while the library goes on for at most
// Options.Connect and then gives up what it has. The error is a [*MissingLibraryError], or a [*CallError] of the call
// "connect": EACCES and EPERM say that the monitors do not take the entity with this key, ETIMEDOUT that none answers.
func (l *Library) Connect(ctx context.Context, o Options) (*Cluster, error) {
	if err := o.check(); err != nil {
		return nil, err
	}

	if err := l.open(); err != nil {
		return nil, err
	}

	type result struct {
		cluster *Cluster
		err     error
	}

	connected := make(chan result)

	go func() {
		cluster, err := l.connect(o)
		select {
		case connected <- result{cluster, err}:
		case <-ctx.Done():
			if cluster != nil {
				cluster.Close()
			}
		}
	}()

	select {
	case r := <-connected:
		return r.cluster, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("connect: %w", context.Cause(ctx))
	}
}

func (l *Library) connect(o Options) (*Cluster, error) {
	var handle *byte
	if rc := l.fn.create(&handle, "ceph", o.Entity, 0); rc < 0 {
		return nil, callError("create a client", rc)
	}

	for _, setting := range o.configuration() {
		if rc := l.fn.configure(handle, setting.option, setting.text); rc < 0 {
			l.fn.shutdown(handle)

			return nil, callError("set the client's option "+setting.option, rc)
		}
	}

	if rc := l.fn.connect(handle); rc < 0 {
		l.fn.shutdown(handle)

		return nil, callError("connect", rc)
	}

	return &Cluster{
		fn: &l.fn, handle: handle, slots: make(chan struct{}, threads),
		closing: make(chan struct{}), down: make(chan struct{}),
	}, nil
}

// Do sends a command to any monitor.
func (c *Cluster) Do(ctx context.Context, command map[string]any) (Reply, error) {
	return c.call(ctx, "", command)
}

// Tell sends a command to one monitor.
func (c *Cluster) Tell(ctx context.Context, monitor string, command map[string]any) (Reply, error) {
	if monitor == "" || strings.Contains(monitor, "\x00") {
		return Reply{}, &CallError{Call: prefixOf(command), Errno: syscall.EINVAL}
	}

	return c.call(ctx, monitor, command)
}

// Close makes calls under way return with [ErrClosed]. The connection is shut down once the library has let go of them,
// which takes up to Options.Command and is not waited for; see [Cluster.Down].
func (c *Cluster) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.closed {
		return
	}

	c.closed = true
	close(c.closing)

	go func() {
		defer close(c.down)

		c.calls.Wait()
		c.fn.shutdown(c.handle)
	}()
}

// Down is closed when a closed connection has been shut down.
func (c *Cluster) Down() <-chan struct{} { return c.down }

// call runs the library's call in a goroutine of its own, which is the only way to leave it.
func (c *Cluster) call(ctx context.Context, monitor string, command map[string]any) (Reply, error) {
	text, err := encode(command)
	if err != nil {
		return Reply{}, err
	}

	if err := c.enter(ctx); err != nil {
		return Reply{}, fmt.Errorf("%s: %w", prefixOf(command), err)
	}

	type result struct {
		reply Reply
		rc    int32
	}

	answered := make(chan result, 1)

	go func() {
		defer c.leave()

		reply, rc := c.send(monitor, text)
		answered <- result{reply, rc}
	}()

	select {
	case r := <-answered:
		if r.rc < 0 {
			return r.reply, callError(prefixOf(command), r.rc)
		}

		return r.reply, nil
	case <-ctx.Done():
		return Reply{}, fmt.Errorf("%s: %w", prefixOf(command), context.Cause(ctx))
	case <-c.closing:
		return Reply{}, fmt.Errorf("%s: %w", prefixOf(command), ErrClosed)
	}
}

// enter waits for a free slot. Whoever has entered holds the shutdown back until it leaves.
func (c *Cluster) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.closing:
		return ErrClosed
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	if c.closed {
		<-c.slots

		return ErrClosed
	}

	c.calls.Add(1)

	return nil
}

func (c *Cluster) leave() {
	<-c.slots
	c.calls.Done()
}

// send is the call into C. The monitor is empty for any.
func (c *Cluster) send(monitor, text string) (Reply, int32) {
	var (
		out, status       *byte
		outLen, statusLen uintptr
		rc                int32
		pinner            runtime.Pinner
	)
	defer pinner.Unpin()

	// C reads the text through an array of pointers, of which it takes one.
	terminated := append([]byte(text), 0)
	commands := []*byte{&terminated[0]}
	pinner.Pin(&terminated[0])
	pinner.Pin(&commands[0])

	if monitor == "" {
		rc = c.fn.monCommand(c.handle, &commands[0], 1, nil, 0, &out, &outLen, &status, &statusLen)
	} else {
		rc = c.fn.monCommandTarget(c.handle, monitor, &commands[0], 1, nil, 0, &out, &outLen, &status, &statusLen)
	}

	return Reply{Out: c.take(out, outLen), Status: string(c.take(status, statusLen))}, rc
}

// take copies a buffer of C and gives it back.
func (c *Cluster) take(buffer *byte, length uintptr) []byte {
	if buffer == nil {
		return nil
	}
	defer c.fn.freeBuffer(buffer)

	return bytes.Clone(unsafe.Slice(buffer, length)) //nolint:gosec // the library says how long its buffer is
}

// callError is for what a function of librados returns: an error number below zero.
func callError(call string, rc int32) error {
	return &CallError{Call: call, Errno: syscall.Errno(-rc)} //nolint:gosec // it is above zero here
}
