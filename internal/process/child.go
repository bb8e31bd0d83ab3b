package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"k8s.io/utils/clock"
)

const (
	logLines = 12
	logBytes = 16 << 10
	// killTime is what the kernel gets to end processes that were killed, on a busy machine.
	killTime = 10 * time.Second
)

// Child is a process that a [Launcher] has started. Its methods may be called from any goroutine.
type Child struct {
	name    string
	log     string
	started uint64
	cmd     *exec.Cmd
	exited  chan struct{} // closed once the process has gone and was collected
}

// ExitError says which process ended, how, and with which last words.
type ExitError struct {
	// Name of the process, How it ended, such as "exit status 1", and the path of its Log.
	Name, How, Log string
	// Tail is the end of the log, indented; empty when there is none.
	Tail string
}

// Error names the process, how it ended and its last words.
func (e *ExitError) Error() string {
	if e.Tail == "" {
		return fmt.Sprintf("%s ended by itself (%s); its log %s is empty", e.Name, e.How, e.Log)
	}

	return fmt.Sprintf("%s ended by itself (%s); the last lines of %s:\n%s", e.Name, e.How, e.Log, e.Tail)
}

// Name is what people call the process.
func (c *Child) Name() string { return c.name }

// PID is the process id. It may be somebody else's once the process has gone.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// StartedAt is when it started, in clock ticks since the machine's boot: with the pid it tells the process from any
// other.
func (c *Child) StartedAt() uint64 { return c.started }

// Log is the path of its log.
func (c *Child) Log() string { return c.log }

// Done returns a channel that is closed once the process has gone.
func (c *Child) Done() <-chan struct{} { return c.exited }

// Err says how it ended, whoever ended it; nil while it runs.
func (c *Child) Err() error {
	select {
	case <-c.exited:
		return c.exitError()
	default:
		return nil
	}
}

// Signal sends a signal to the process, not to those that it has started. Nothing happens if it has gone.
func (c *Child) Signal(signal os.Signal) error {
	if err := c.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d of %s: %w", c.PID(), c.name, err)
	}

	return nil
}

// Stop signals the process and waits for its end; after grace it is killed.
func (c *Child) Stop(signal os.Signal, grace time.Duration, clk clock.Clock) {
	_ = c.cmd.Process.Signal(signal) // fails only when it has gone already
	select {
	case <-c.exited:
		return
	case <-clk.After(grace):
	}
	_ = c.cmd.Process.Signal(os.Kill)
	<-c.exited
}

func (c *Child) wait(onExit func(*ExitError)) {
	defer close(c.exited)
	_ = c.cmd.Wait() // its outcome is read from the process state
	if onExit != nil {
		onExit(c.exitError())
	}
}

func (c *Child) exitError() *ExitError {
	return &ExitError{Name: c.name, How: c.cmd.ProcessState.String(), Log: c.log, Tail: tail(c.log)}
}

// tail returns the last lines of a log, each indented; empty when there are none.
func tail(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() > logBytes {
		_, _ = file.Seek(-logBytes, 2)
	}
	var content bytes.Buffer
	_, _ = content.ReadFrom(file)
	text := strings.TrimSpace(content.String())
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	lines = lines[max(0, len(lines)-logLines):]

	return "  " + strings.Join(lines, "\n  ")
}
