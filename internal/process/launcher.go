package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Launcher starts processes from one thread that lives until Close. The kernel ends a child when the thread that
// started it ends, and the threads of a Go program otherwise come and go as the runtime likes. Its methods may be called
// from any goroutine, but none after Close.
type Launcher struct{ work chan func() }

// NewLauncher returns a launcher that has to be closed.
func NewLauncher() *Launcher {
	l := &Launcher{work: make(chan func())}
	go func() {
		// Never unlocked: the thread ends with this goroutine.
		runtime.LockOSThread()
		for do := range l.work {
			do()
		}
	}()

	return l
}

// Close ends the thread, and with it every process that it started and that still runs. Whoever wants to be sure that
// they have gone ends them before.
func (l *Launcher) Close() { close(l.work) }

// User is who a process runs as.
type User struct{ UID, GID uint32 }

// Command says what to start.
type Command struct {
	// Name is what people call it; the base of Path when empty.
	Name string
	// Path of the program, and its arguments.
	Path string
	Args []string
	// Dir is the working directory, and the home. The process's user must be able to enter it.
	Dir string
	// Log is the file that gets the output. What it held before is lost unless Append is set.
	Log    string
	Append bool
	// Env is added to HOME and PATH, which are all that a process gets: settings of the user's shell (proxies, locales,
	// tuning) must not change how it behaves.
	Env []string
	// User is nil for our own.
	User *User
	// OnExit is called when the process has gone, before the channel of Done is closed. It may be nil.
	OnExit func(*ExitError)
}

// Start starts a program and does not wait for it.
func (l *Launcher) Start(c Command) (*Child, error) {
	if c.Name == "" {
		c.Name = filepath.Base(c.Path)
	}
	mode := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if !c.Append {
		mode |= os.O_TRUNC
	}
	log, err := os.OpenFile(c.Log, mode, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", c.Name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(c.Path, c.Args...) //nolint:noctx // who started it ends it, in an order of its own
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Dir, log, log
	cmd.Env = append([]string{"HOME=" + c.Dir, "PATH=" + os.Getenv("PATH")}, c.Env...)
	cmd.SysProcAttr = attributes(c.User)
	result := make(chan error)
	l.work <- func() { result <- cmd.Start() }
	if err := <-result; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	child := &Child{name: c.Name, log: c.Log, cmd: cmd, exited: make(chan struct{})}
	child.started, _ = Started(cmd.Process.Pid)
	go child.wait(c.OnExit)

	return child, nil
}

// Run starts a program and waits for its end. When ctx ends before, it is killed. The error is an [*ExitError] when it
// did not end well.
func (l *Launcher) Run(ctx context.Context, c Command) error {
	child, err := l.Start(c)
	if err != nil {
		return err
	}
	select {
	case <-child.Done():
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("run %s: %w", child.Name(), context.Cause(ctx)), child.Kill())
	}
	if !child.cmd.ProcessState.Success() {
		return child.exitError()
	}

	return nil
}
