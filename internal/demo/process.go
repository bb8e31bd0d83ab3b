package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// drainLimit is how long the manager may take to end; it gives itself less.
	drainLimit = 30 * time.Second
	tailLines  = 12
)

// process is a manager that runs as a process of its own.
type process struct {
	cmd *exec.Cmd
	log string
	// end asks it to end, once asked is closed.
	end   context.CancelFunc
	asked chan struct{}
	// done is closed when it has ended and cmd.ProcessState is set.
	done chan struct{}
}

// startProcess starts a command, its output added to the log, and lets it run until it is stopped or this process
// ends; it survives even that. Its own session keeps Ctrl-C in a terminal from it.
func startProcess(ctx context.Context, log string, env []string, exe string, args ...string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of the manager: %w", err)
	}
	defer func() { _ = file.Close() }()
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = drainLimit
	if err := cmd.Start(); err != nil {
		end()

		return nil, fmt.Errorf("start the manager: %w", err)
	}
	p := &process{cmd: cmd, log: log, end: end, asked: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // its outcome is read from the process state
		end()
	}()

	return p, nil
}

// endedByItself waits until the process has ended, and tells whether nobody had asked it to.
func (p *process) endedByItself() bool {
	<-p.done
	select {
	case <-p.asked:
		return false
	default:
		return true
	}
}

// stop asks the process to end and waits until it has; the error says that it did not end well.
func (p *process) stop() error {
	close(p.asked)
	p.end()
	<-p.done
	if !p.cmd.ProcessState.Success() {
		return p.lastWords("the manager did not end well")
	}

	return nil
}

// lastWords is an error with how the process ended and the last lines of its log.
func (p *process) lastWords(what string) error {
	content, err := os.ReadFile(p.log)
	if err != nil {
		content = []byte(err.Error())
	}
	lines := strings.Split(string(bytes.TrimSpace(content)), "\n")
	lines = lines[max(0, len(lines)-tailLines):]

	return fmt.Errorf("%s (%s); its last words:\n  %s", what, p.cmd.ProcessState, strings.Join(lines, "\n  "))
}

// detach starts "lockstep local up" so that the plane outlives this process, and returns when it is ready.
func detach(ctx context.Context, o Options) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, o.Executable, "local", "up", "--detach", "--dir", o.Dir, "--bin", o.Bin,
		"--nodes", strconv.Itoa(nodes))
	cmd.Env, cmd.Stderr = o.Env, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = drainLimit
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("start the control plane in %s: %w", o.Dir, err),
			errors.New(strings.TrimSpace(said.String())))
	}

	return nil
}
