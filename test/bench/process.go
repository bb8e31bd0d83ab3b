package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/clock"
)

const (
	// stopGrace is how long a controller may take to end after SIGTERM.
	stopGrace = 20 * time.Second
	tailLines = 15
	tailBytes = 8 << 10
)

// process is a running controller.
type process struct {
	cmd *exec.Cmd
	// done is closed when the process has ended and cmd.ProcessState is set.
	done chan struct{}
}

// startProcess starts the command line, its output appended to the log file.
func startProcess(argv, env []string, log string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", argv[0], err)
	}
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // the user's own command; it is stopped by signals, in stages
	cmd.Env, cmd.Stdout, cmd.Stderr = env, file, file
	cmd.SysProcAttr = processAttributes()
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ties the child's life to this thread: keep it until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { _ = file.Close() }()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in cmd.ProcessState
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return p, nil
}

// stop sends the signal and waits for the end; after stopGrace it kills the process.
func (p *process) stop(signal os.Signal, clk clock.Clock) {
	_ = p.cmd.Process.Signal(signal) // fails only when it has ended already
	timer := clk.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C():
		_ = p.cmd.Process.Signal(syscall.SIGKILL)
		<-p.done
	}
}

// lastWords returns the end of a log file, for an error message.
func lastWords(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return "(no log)"
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = file.Seek(-tailBytes, io.SeekEnd)
	}
	data, _ := io.ReadAll(file) // what could be read is better than nothing
	lines := strings.Split(string(bytes.TrimSpace(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
