package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/lockstep-dev/lockstep/internal/localplane"
)

func TestLocal(t *testing.T) {
	t.Parallel()
	c := build(t)
	t.Run("from a detached start to down", c.fromDetachedStartToDown)
	t.Run("up ends without a trace", c.upEndsWithoutATrace)
	t.Run("up says which component ended", c.upSaysWhichComponentEnded)
	t.Run("status names what is gone", c.statusNamesWhatIsGone)
	t.Run("down leaves those alone who took over a pid", c.downLeavesOthersAlone)
	t.Run("up without binaries says how to get them", c.upWithoutBinariesSaysHowToGetThem)
}

// binary is the real command.
type binary struct {
	path string
	env  []string
}

// build builds the command for this test.
func build(t *testing.T) binary {
	t.Helper()
	folder, err := localplane.FindBinaries("")
	if err != nil && os.Getenv("LOCKSTEP_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "lockstep")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/lockstep-dev/lockstep/cmd/lockstep")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	return binary{path: path, env: append(os.Environ(), "KUBEBUILDER_ASSETS="+folder)}
}

func (c binary) fromDetachedStartToDown(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	out := c.run(t, work, "local", "up", "--nodes", "1", "--detach").ok(t)
	dir := filepath.Join(work, ".lockstep", "local")
	t.Cleanup(func() { endOf(t, dir) })
	state := inspect(t, dir)

	t.Run("up prints what a shell evaluates and nothing else", func(t *testing.T) {
		if want := "export KUBECONFIG=" + filepath.Join(dir, "kubeconfig") + "\n"; out.stdout != want {
			t.Errorf("got %q, want %q", out.stdout, want)
		}
		if got := nodes(t, filepath.Join(dir, "kubeconfig")); got != 1 {
			t.Errorf("got %d nodes, want 1", got)
		}
	})
	t.Run("status lists every process as running", func(t *testing.T) {
		status := c.run(t, work, "local", "status").ok(t)
		want := `^COMPONENT +PID +STATE
supervisor +\d+ +running
etcd +\d+ +running
kube-apiserver +\d+ +running
kube-controller-manager +\d+ +running
kube-scheduler +\d+ +running
kwok +\d+ +running
$`
		if !regexp.MustCompile(want).MatchString(status.stdout) {
			t.Errorf("got:\n%s\nwant:\n%s", status.stdout, want)
		}
	})
	for _, how := range [][]string{{"local", "up"}, {"local", "up", "--detach"}} {
		t.Run("a second "+strings.Join(how, " ")+" says so and exits 1", func(t *testing.T) {
			second := c.run(t, work, how...)
			if second.code != 1 || !strings.Contains(second.stderr, "a control plane already runs in ") ||
				!strings.Contains(second.stderr, "lockstep local down --dir .lockstep/local") {
				t.Errorf("got exit code %d and %q", second.code, second.stderr)
			}
			if !state.Supervisor.Alive() {
				t.Error("the first was ended")
			}
		})
	}
	t.Run("down ends every process", func(t *testing.T) {
		c.run(t, work, "local", "down").ok(t)
		assertNone(t, state)
	})
	for _, verb := range []string{"down", "status"} {
		t.Run(verb+" after that says that none runs and exits 1", func(t *testing.T) {
			again := c.run(t, work, "local", verb)
			if again.code != 1 || !strings.Contains(again.stderr, "no control plane runs in ") {
				t.Errorf("got exit code %d and %q", again.code, again.stderr)
			}
		})
	}
}

func (c binary) upEndsWithoutATrace(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		signal syscall.Signal
		code   int
	}{
		"at Ctrl-C":                     {signal: syscall.SIGINT, code: 0},
		"at SIGTERM":                    {signal: syscall.SIGTERM, code: 0},
		"when it is killed on the spot": {signal: syscall.SIGKILL, code: -1},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			up := c.start(t, dir)
			state := inspect(t, dir)
			// Ctrl-C in a terminal reaches the whole foreground process group.
			if err := syscall.Kill(-up.Process.Pid, test.signal); err != nil {
				t.Fatal(err)
			}
			_ = up.Wait()
			if got := up.ProcessState.ExitCode(); got != test.code {
				t.Errorf("got exit code %d, want %d", got, test.code)
			}
			endOf(t, dir) // returns when the kernel is done with what it was killing
			assertNone(t, state)
		})
	}
}

func (c binary) upSaysWhichComponentEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	up := c.start(t, dir)
	state := inspect(t, dir)
	if err := syscall.Kill(state.Components[3].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = up.Wait()
	stderr, ok := up.Stderr.(*bytes.Buffer)
	if !ok {
		t.Fatalf("the error stream is a %T", up.Stderr)
	}
	if up.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "kube-scheduler ended by itself (signal: killed); the last lines of ") {
		t.Errorf("got exit code %d and %q", up.ProcessState.ExitCode(), stderr)
	}
	assertNone(t, state)
}

func (c binary) statusNamesWhatIsGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeState(t, dir, `{"supervisor": {"name": "supervisor", "pid": 1, "started": 1},
		"components": [{"name": "etcd", "pid": 1, "started": 1}]}`)
	status := c.run(t, dir, "local", "status", "--dir", dir)
	if status.code != 1 || !strings.Contains(status.stderr, "is not whole: supervisor, etcd gone") {
		t.Errorf("got exit code %d and %q", status.code, status.stderr)
	}
}

func (c binary) downLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	bystander := exec.CommandContext(t.Context(), "sleep", "600")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = bystander.Process.Kill()
		_ = bystander.Wait()
	}()
	dir := t.TempDir()
	stale := fmt.Sprintf(`{"name": "x", "pid": %d, "started": 1}`, bystander.Process.Pid)
	writeState(t, dir, `{"supervisor": `+stale+`, "components": [`+stale+`]}`)
	c.run(t, dir, "local", "down", "--dir", dir).ok(t)
	// A process that was signalled would be a zombie by now, and that is not alive.
	if content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", bystander.Process.Pid)); err != nil ||
		!strings.Contains(string(content), "(sleep) S ") {
		t.Errorf("the bystander was ended: %s, %v", content, err)
	}
}

func (c binary) upWithoutBinariesSaysHowToGetThem(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	for _, more := range [][]string{nil, {"--detach"}} {
		up := c.run(t, empty, append([]string{"local", "up", "--bin", empty}, more...)...)
		if up.code != 1 || !strings.Contains(up.stderr, "run `make plane`") || !strings.Contains(up.stderr, empty) {
			t.Errorf("%v: got exit code %d and %q", more, up.code, up.stderr)
		}
	}
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) ok(t *testing.T) result {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("got exit code %d: %s", r.code, r.stderr)
	}

	return r
}

// run runs the command to its end.
func (c binary) run(t *testing.T, dir string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), c.path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = c.env
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err, exit)
	}

	return result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
}

// start starts "local up" in a process group of its own and returns when it says that it is ready.
func (c binary) start(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.path, "local", "up", "--dir", dir)
	cmd.Env, cmd.Stderr = c.env, &bytes.Buffer{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endOf(t, dir) })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if !strings.HasPrefix(line, "export KUBECONFIG=") {
		_ = cmd.Wait()
		t.Fatalf("it did not come up: %v", cmd.Stderr)
	}

	return cmd
}

func inspect(t *testing.T, dir string) localplane.State {
	t.Helper()
	state, err := localplane.Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}

	return state
}

func writeState(t *testing.T, dir, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// endOf ends whatever still runs in the directory.
func endOf(t *testing.T, dir string) {
	t.Helper()
	// A cleanup comes after the end of the test's own context.
	if err := localplane.Down(context.WithoutCancel(t.Context()), dir); err != nil && !errors.Is(err, localplane.ErrNotRunning) {
		t.Error(err)
	}
}

func assertNone(t *testing.T, state localplane.State) {
	t.Helper()
	for _, process := range append(state.Components, state.Supervisor) {
		if process.Alive() {
			t.Errorf("%s still runs as %d", process.Name, process.PID)
		}
	}
}

func nodes(t *testing.T, kubeconfig string) int {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}

	return len(list.Items)
}
