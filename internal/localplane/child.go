package localplane

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/clock"
)

const (
	logLines = 12
	logBytes = 16 << 10
)

// launcher starts processes from one thread that lives until close. The kernel ends a child when the thread that
// started it ends, and the threads of a Go program otherwise come and go as the runtime likes.
type launcher struct{ work chan func() }

func newLauncher() *launcher {
	l := &launcher{work: make(chan func())}
	go func() {
		// Never unlocked: the thread ends with this goroutine.
		runtime.LockOSThread()
		for do := range l.work {
			do()
		}
	}()

	return l
}

func (l *launcher) start(cmd *exec.Cmd) error {
	result := make(chan error)
	l.work <- func() { result <- cmd.Start() }

	return <-result
}

// close ends the thread, and with it every process that it started and that still runs.
func (l *launcher) close() { close(l.work) }

// child is one running component.
type child struct {
	Process

	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed once the process has gone and was collected
}

// exitError says which component ended by itself, how, and with which last words.
type exitError struct {
	name, how, log, tail string
}

func (e *exitError) Error() string {
	if e.tail == "" {
		return fmt.Sprintf("%s ended by itself (%s); its log %s is empty", e.name, e.how, e.log)
	}

	return fmt.Sprintf("%s ended by itself (%s); the last lines of %s:\n%s", e.name, e.how, e.log, e.tail)
}

// spawn starts a component in dir, its output going to a log of its own, and calls onExit when it has gone.
func (l *launcher) spawn(dir, binary string, args []string, onExit func(*exitError)) (*child, error) {
	name := filepath.Base(binary)
	path := filepath.Join(dir, logsDir, name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(binary, args...) //nolint:noctx // its life is the plane's, which kills it in its own order
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	// Settings of the user's shell (proxies, Go or kwok tuning) must not change how a plane behaves.
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = childAttributes()
	if err := l.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	started, _ := startOf(cmd.Process.Pid)
	c := &child{
		Process: Process{Name: name, PID: cmd.Process.Pid, Started: started},
		cmd:     cmd, log: path, exited: make(chan struct{}),
	}
	go func() {
		defer close(c.exited)
		_ = cmd.Wait() // its outcome is read from the process state
		onExit(&exitError{name: name, how: cmd.ProcessState.String(), log: path, tail: tail(path)})
	}()

	return c, nil
}

// stop signals the process and waits for its end, killing it after grace.
func (c *child) stop(signal os.Signal, grace time.Duration, clk clock.Clock) {
	_ = c.cmd.Process.Signal(signal) // fails only when it has gone already
	select {
	case <-c.exited:
		return
	case <-clk.After(grace):
	}
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	<-c.exited
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
