package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// limit is how long anything may take. It is generous: a test that passes never waits for it.
const limit = 60 * time.Second

// process is one run of the command. Its methods are called from the test's own goroutine.
type process struct {
	testing.TB

	cmd  *exec.Cmd
	out  *journal
	done chan struct{}
	// metrics is the address of its metrics, as the arguments say.
	metrics string
}

// start runs the command with nothing but this environment. At the end of the test it is killed.
func start(t testing.TB, env []string, args ...string) *process {
	t.Helper()

	p := &process{TB: t, cmd: exec.Command(binary(), args...), out: newJournal(), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = env, p.out, p.out, attributes()
	p.cmd.Dir = t.TempDir()

	for _, a := range args {
		if address, ok := strings.CutPrefix(a, "--metrics-bind-address="); ok {
			p.metrics = address
		}
	}

	started := make(chan error, 1)

	go func() {
		defer close(p.done)
		// The thread must not end before the process: see attributes.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()

		err := p.cmd.Start()
		started <- err

		if err == nil {
			_ = p.cmd.Wait() // the exit code is in the process's state
		}
	}()

	if err := <-started; err != nil {
		t.Fatalf("start the command: %v", err)
	}

	t.Cleanup(func() {
		p.kill()

		if t.Failed() {
			t.Logf("lockstep %s ended with %s; its output:\n%s", strings.Join(args, " "), p.cmd.ProcessState, p.out)
		}
	})

	return p
}

// kill ends the process as the kernel would for want of memory: nothing of it runs any more.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// exit waits until the process has ended by itself and returns its exit code.
func (p *process) exit() int {
	p.Helper()

	timer := time.NewTimer(limit)
	defer timer.Stop()

	select {
	case <-p.done:
	case <-timer.C:
		p.Fatalf("the process did not end within %s", limit)
	}

	return p.cmd.ProcessState.ExitCode()
}

// terminate ends the process by a signal, in order, and tells how long that took.
func (p *process) terminate() time.Duration {
	p.Helper()

	since := time.Now()

	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.Fatalf("signal the process: %v", err)
	}

	if code := p.exit(); code != 0 {
		p.Fatalf("after SIGTERM the exit code is %d, want 0", code)
	}

	return time.Since(since)
}

// left is what the process logs where it ends before everything is carried.
const left = "stopped with changes that the next manager will carry"

// settle terminates the process after it did everything that there was to do: what has not moved then never will.
func (p *process) settle() {
	p.Helper()
	p.terminate()

	if p.out.has(left) {
		p.Fatal("the process left changes to be carried")
	}
}

// listed waits until everything was listed: what changes from now on is a change.
func (p *process) listed() {
	p.Helper()
	p.logged("sources and workloads are listed")
}

// logged waits for a line of the output that holds all of the texts, and returns it.
func (p *process) logged(texts ...string) string {
	p.Helper()

	timer := time.NewTimer(limit)
	defer timer.Stop()

	for {
		line, found, more := p.out.find(texts...)
		if found {
			return line
		}

		select {
		case <-more:
		case <-p.done:
			// The last words are there once the process is gone.
			if line, found, _ := p.out.find(texts...); found {
				return line
			}

			p.Fatalf("the process ended without logging %q", texts)
		case <-timer.C:
			p.Fatalf("no line with %q within %s", texts, limit)
		}
	}
}

// get answers a request to the process's port.
func (p *process) get(path string) (status int, body string) {
	p.Helper()

	status, body, err := get("http://" + p.metrics + path)
	if err != nil {
		p.Fatal(err)
	}

	return status, body
}

func get(url string) (status int, body string, err error) {
	response, err := http.Get(url)
	if err != nil {
		return 0, "", fmt.Errorf("get %s: %w", url, err)
	}
	defer response.Body.Close()

	text, err := io.ReadAll(response.Body)

	return response.StatusCode, string(text), err
}

// eventually asks again and again: for what cannot be watched.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()

	ticker, timer := time.NewTicker(20*time.Millisecond), time.NewTimer(limit)
	defer ticker.Stop()
	defer timer.Stop()

	for !condition() {
		select {
		case <-ticker.C:
		case <-timer.C:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// port is a loopback address that is free.
func port(t testing.TB) string {
	t.Helper()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	return l.Addr().String()
}

// journal keeps what a process writes. It is safe for concurrent use.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newJournal() *journal { return &journal{more: make(chan struct{})} }

// Write keeps a part of the output.
func (j *journal) Write(part []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()

	close(j.more)
	j.more = make(chan struct{})

	return j.text.Write(part)
}

// String is everything until now.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()

	return j.text.String()
}

// lines are the complete lines until now that hold all of the texts.
func (j *journal) lines(texts ...string) []string {
	var found []string

	for line := range strings.Lines(j.String()) {
		if strings.HasSuffix(line, "\n") && holds(line, texts) {
			found = append(found, strings.TrimSuffix(line, "\n"))
		}
	}

	return found
}

func holds(line string, texts []string) bool {
	for _, text := range texts {
		if !strings.Contains(line, text) {
			return false
		}
	}

	return true
}

func (j *journal) has(texts ...string) bool { return len(j.lines(texts...)) > 0 }

// find returns the first line that holds all of the texts, and what is closed when there is more output.
func (j *journal) find(texts ...string) (line string, found bool, more <-chan struct{}) {
	j.mu.Lock()
	more = j.more
	j.mu.Unlock()

	if lines := j.lines(texts...); len(lines) > 0 {
		return lines[0], true, more
	}

	return "", false, more
}
