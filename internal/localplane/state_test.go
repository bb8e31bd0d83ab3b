package localplane

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/process"
)

func TestAProcessIsAliveOnlyAsItself(t *testing.T) {
	t.Parallel()
	own, ok := process.Started(os.Getpid())
	if !ok {
		t.Fatal("this process was not found")
	}
	ended := exec.CommandContext(t.Context(), "true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		process Process
		want    bool
	}{
		"this process":                              {Process{PID: os.Getpid(), Started: own}, true},
		"another that had its pid before":           {Process{PID: os.Getpid(), Started: own - 1}, false},
		"one that has ended":                        {Process{PID: ended.Process.Pid, Started: own}, false},
		"one that was never recorded is not anyone": {Process{}, false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := test.process.Alive(); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestAZombieIsNotAlive(t *testing.T) {
	t.Parallel()
	cmd, process := shell(t, "echo ready; read line")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := terminate(t.Context(), process, syscall.SIGTERM, time.Minute); err != nil {
		t.Error(err)
	}
	if process.Alive() { // it has ended, and is there until Wait collects it
		t.Error("it counts as alive")
	}
}

func TestTerminate(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		script string
		grace  time.Duration
		cancel bool
		change func(*Process)
		want   string // how the process ended
	}{
		"asks first": {
			script: "trap 'exit 7' TERM; echo ready; while read line; do :; done", grace: time.Minute, want: "exit status 7",
		},
		"kills what does not listen in time": {
			script: "trap '' TERM; echo ready; read line", grace: time.Millisecond, want: "signal: killed",
		},
		"kills at once when nobody waits any more": {
			script: "trap '' TERM; echo ready; read line", grace: time.Minute, cancel: true, want: "signal: killed",
		},
		"leaves alone who has only got the pid": {
			script: "echo ready; read line", grace: time.Minute, change: func(p *Process) { p.Started-- },
			want: "signal: user defined signal 1",
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, process := shell(t, test.script)
			if test.change != nil {
				test.change(&process)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if test.cancel {
				cancel()
			}
			if err := terminate(ctx, process, syscall.SIGTERM, test.grace); err != nil {
				t.Error(err)
			}
			// Only a process that was left alone can still end by this. (A hangup is ignored by what nohup started.)
			_ = cmd.Process.Signal(syscall.SIGUSR1)
			if err := cmd.Wait(); err == nil || err.Error() != test.want {
				t.Errorf("it ended with %v, want %s", err, test.want)
			}
		})
	}
}

func TestDownEndsWhatADeadSupervisorLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, left := shell(t, "trap '' TERM; echo ready; read line")
	s := State{Supervisor: Process{PID: left.PID, Started: left.Started - 1}, Components: []Process{left}}
	if err := s.write(dir); err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the component ended with %v, want to be killed", err)
	}
	if err := Down(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a second time: got %v, want %v", err, ErrNotRunning)
	}
}

func TestAStartEndsWhatADeadSupervisorLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, left := shell(t, "echo ready; read line")
	if err := (State{Components: []Process{left}}).write(dir); err != nil {
		t.Fatal(err)
	}
	p := &Plane{dir: dir, data: scratchDir}
	if err := p.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.lock.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the component ended with %v, want to be killed", err)
	}
}

func TestInspectReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := State{
		Supervisor: Process{Name: "supervisor", PID: 7, Started: 8},
		Components: []Process{{Name: etcd, PID: 9, Started: 10}},
		Server:     "https://127.0.0.1:1", Keep: true,
	}
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestAStateThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, stateFile)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names %s", err, path)
	}
}

// shell starts a script and returns when it has said that it is ready. Its standard input stays open.
func shell(t *testing.T, script string) (*exec.Cmd, Process) {
	t.Helper()
	input, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", script)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = input
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = input.Close()
	t.Cleanup(func() {
		_ = hold.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	started, ok := process.Started(cmd.Process.Pid)
	if !ok {
		t.Fatal("the script has ended already")
	}

	return cmd, Process{Name: "script", PID: cmd.Process.Pid, Started: started}
}
