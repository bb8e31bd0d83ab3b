package localstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/process"
)

const (
	// startLimit bounds a start. The slowest takes some seconds; a machine that compiles at the same time needs more.
	startLimit = 2 * time.Minute
	// askAgain is the time between two questions whether a server is ready.
	askAgain = 10 * time.Millisecond
	// askLimit is how long one of these questions may take.
	askLimit = 5 * time.Second
	// endLimit is how long a server may take to end when it is asked to.
	endLimit = 10 * time.Second
)

// errStopped says that a server was stopped for good.
var errStopped = errors.New("the server was stopped")

// Options say how to start a server.
type Options struct {
	// Dir is the server's directory: data, logs and sockets. It is created when missing. A server that refuses to run as root
	// must be able to reach it: every folder above it must let everybody pass. Required.
	Dir string
	// Clock is the real clock when nil.
	Clock clock.Clock
}

// MissingServerError says that a server is not installed.
type MissingServerError struct {
	// Package is the Debian package that has it.
	Package string
	// Binary is what was looked for.
	Binary string
}

// Error names the program and the package.
func (e *MissingServerError) Error() string {
	return fmt.Sprintf("there is no %s on this machine; install the Debian package %s, or all of them with hack/install-stores",
		e.Binary, e.Package)
}

// Find returns the path of a program: from one of the folders, which may be patterns whose last match counts, else from
// the PATH, else from where administrators' programs are. The error is a [*MissingServerError] that names the package.
func Find(pkg, binary string, dirs ...string) (string, error) {
	for _, dir := range dirs {
		matches, err := filepath.Glob(filepath.Join(dir, binary))
		if err != nil {
			return "", fmt.Errorf("find %s: %w", binary, err)
		}
		if len(matches) > 0 {
			return matches[len(matches)-1], nil
		}
	}
	for _, name := range []string{binary, filepath.Join("/usr/sbin", binary), filepath.Join("/usr/local/sbin", binary)} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}

	return "", &MissingServerError{Package: pkg, Binary: binary}
}

// program says how the process of a server is started and ended.
type program struct {
	path string
	args []string
	env  []string
	// user is nil for our own.
	user *process.User
	// ready asks the server once whether it serves; an error means not yet.
	ready func(ctx context.Context) error
	// quit is the signal by which it ends in good order; SIGTERM when it is zero.
	quit syscall.Signal
}

// Server is a store's server. Its methods may be called from any goroutine.
type Server struct {
	name     string
	dir      string
	port     int
	clock    clock.Clock
	launcher *process.Launcher
	release  func() // gives the port back

	mu      sync.Mutex // held while the process is started or ended
	program program
	child   *process.Child // nil until the first start
	stopped bool
}

// newServer makes the directory and reserves the port; who calls it ends it with Stop, also when start fails. Nothing runs yet.
func newServer(name string, o Options) (*Server, error) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the directory %s: %w", o.Dir, err)
	}
	// Others may pass, for servers with a user of their own; they cannot look around.
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // see above
		return nil, fmt.Errorf("make the directory of %s: %w", name, err)
	}
	port, release, err := process.ReservePort()
	if err != nil {
		return nil, err
	}

	return &Server{
		name: name, dir: dir, port: port, clock: o.Clock, launcher: process.NewLauncher(), release: release,
	}, nil
}

// Addr is the host and port at which the server listens; it stays the same over restarts, and nobody else gets it.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Dir is the absolute path of the server's directory.
func (s *Server) Dir() string { return s.dir }

// Log is the path of the server's log. All starts are in it.
func (s *Server) Log() string { return filepath.Join(s.dir, s.name+".log") }

// Done returns a channel that is closed when the process that runs now has gone, in whatever way. After a restart there is
// another one.
func (s *Server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.child.Done()
}

// Err says how the process ended, with the last lines of its log; nil while it runs.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.child.Err()
}

// Pause stops all processes of the server without their knowing, as a host that hangs does: connections stay, nothing is
// answered, and what was sent meanwhile is done after [Server.Resume].
func (s *Server) Pause() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.child.Pause()
}

// Resume lets a paused server go on.
func (s *Server) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.child.Resume()
}

// Kill ends all processes of the server at once, as a crash does, and returns when they have gone.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.child.Kill()
}

// Restart ends the server if it runs, in good order, starts it again with the same data at the same address, and returns
// when it is ready. After [Server.Kill] it is what heals the server.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errStopped
	}
	if err := s.end(ctx); err != nil {
		return err
	}

	return s.run(ctx)
}

// Stop ends the server for good, paused or not, and returns when none of its processes is left. When ctx ends before, it is
// killed. It may be called again. The files in its directory stay.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	err := s.end(ctx)
	s.stopped = true
	s.launcher.Close()
	s.release()

	return err
}

// tool runs a program of the store to its end, such as one that makes an empty database. Its output goes into the
// server's log.
func (s *Server) tool(ctx context.Context, p program) error {
	return s.launcher.Run(ctx, s.command(p))
}

// start starts the server and returns when it is ready.
func (s *Server) start(ctx context.Context, p program) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.program = p

	return s.run(ctx)
}

// run starts the process and waits until it is ready. The caller holds mu.
func (s *Server) run(ctx context.Context) error {
	child, err := s.launcher.Start(s.command(s.program))
	if err != nil {
		return err
	}
	s.child = child
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready after %s", startLimit))
	defer cancel()
	for {
		err := s.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-child.Done():
			return child.Err()
		case <-ctx.Done():
			return fmt.Errorf("start %s: %w; it said last: %w", s.name, context.Cause(ctx), err)
		case <-s.clock.After(askAgain):
		}
	}
}

// ask asks whether the server is ready.
func (s *Server) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()

	return s.program.ready(ctx)
}

func (s *Server) command(p program) process.Command {
	return process.Command{
		Path: p.path, Args: p.args, Dir: s.dir, Log: s.Log(), Append: true, Env: p.env, User: p.user,
	}
}

// end ends the process in good order, or kills it when it does not within its time or ctx ends. The caller holds mu.
func (s *Server) end(ctx context.Context) error {
	if s.child == nil {
		return nil
	}
	quit := s.program.quit
	if quit == 0 {
		quit = syscall.SIGTERM
	}
	if err := s.child.Signal(quit); err != nil {
		return err
	}
	// A paused one gets the signal only when it goes on.
	if err := s.child.Resume(); err != nil {
		return err
	}
	select {
	case <-s.child.Done():
		return nil
	case <-s.clock.After(endLimit):
	case <-ctx.Done():
	}

	return s.child.Kill()
}
