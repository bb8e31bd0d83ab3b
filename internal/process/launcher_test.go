package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/lockstep-dev/lockstep/internal/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// family is a process whose child, and whose grandchild in a session of its own, each answer what they are asked.
const family = `
answer() { while read -r line; do echo "$line" >&3; done; }
export -f answer
exec 3>>answers
setsid bash -c 'setsid bash -c "answer <grandchild; true"; true' &
answer <child; wait`

func TestPauseStopsAllThatWasStartedUntilItIsResumed(t *testing.T) {
	t.Parallel()
	child, answers, ask := start(t)
	if err := child.Pause(); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"child", "grandchild"} {
		ask(who, who+" after")
	}
	if err := answers.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := answers.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes and %v, want no answer while it is paused", n, err)
	}
	if err := answers.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := child.Resume(); err != nil {
		t.Fatal(err)
	}
	expect(t, answers, "child after", "grandchild after")
}

func TestKillEndsAllThatWasStarted(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"running", "paused"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child, answers, _ := start(t)
			if name == "paused" {
				if err := child.Pause(); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // a second time does nothing
				if err := child.Kill(); err != nil {
					t.Error(err)
				}
			}
			// The end of the file: nobody is left who could write to it.
			if n, err := answers.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("read %d bytes and %v, want the end", n, err)
			}
			exit, ok := errors.AsType[*process.ExitError](child.Err())
			if !ok || exit.How != "signal: killed" {
				t.Errorf("got %v, want that it was killed", child.Err())
			}
		})
	}
}

func TestACommandRunsAsToldTo(t *testing.T) {
	t.Parallel()
	l := launcher(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	command := process.Command{
		Path: "/bin/sh", Args: []string{"-c", `echo "$HOME $EXTRA $(pwd) $HISTFILE"`}, Dir: dir, Log: log, Env: []string{"EXTRA=more"},
	}
	for range 2 {
		if err := l.Run(t.Context(), command); err != nil {
			t.Fatal(err)
		}
		command.Append = true
	}
	line := dir + " more " + dir + " \n"
	if got, err := os.ReadFile(log); err != nil || string(got) != line+line {
		t.Errorf("got the log %q and %v, want %q", got, err, line+line)
	}
}

func TestACommandRunsAsAnotherUser(t *testing.T) {
	t.Parallel()
	user := &process.User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if user.UID == 0 { // nobody else can become another
		user = &process.User{UID: 65534, GID: 65533}
	}
	log := filepath.Join(t.TempDir(), "log")
	err := launcher(t).Run(t.Context(), process.Command{
		Path: "/bin/sh", Args: []string{"-c", `echo "$(id -u) $(id -g)"`}, Dir: "/", Log: log, User: user,
	})
	want := fmt.Sprintf("%d %d\n", user.UID, user.GID)
	if got, readErr := os.ReadFile(log); err != nil || readErr != nil || string(got) != want {
		t.Errorf("got %q, %v and %v, want %q", got, err, readErr, want)
	}
}

func TestRunTellsTheLastWordsOfAFailure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := launcher(t).Run(t.Context(), process.Command{
		Name: "the tool", Path: "/bin/sh", Args: []string{"-c", "echo no such thing >&2; exit 3"}, Dir: dir, Log: filepath.Join(dir, "log"),
	})
	exit, ok := errors.AsType[*process.ExitError](err)
	if !ok || exit.Name != "the tool" || exit.How != "exit status 3" || exit.Tail != "  no such thing" {
		t.Errorf("got %v, want the tool, its status and its last words", err)
	}
}

func TestRunEndsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := launcher(t).Run(ctx, process.Command{Path: "/bin/sleep", Args: []string{"1000"}, Dir: dir, Log: filepath.Join(dir, "log")})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time is over", err)
	}
}

func TestAProgramThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := launcher(t).Start(process.Command{Path: dir + "/nothing", Dir: dir, Log: filepath.Join(dir, "log")})
	if err == nil || !strings.Contains(err.Error(), "start nothing") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want the program named", err)
	}
}

func TestStopKillsWhoDoesNotListenInTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	child, err := launcher(t).Start(process.Command{
		Path: "/bin/sleep", Args: []string{"1000"}, Dir: dir, Log: filepath.Join(dir, "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	clk := clocktesting.NewFakeClock(time.Now())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		child.Stop(syscall.SIGURG, time.Minute, clk) // a signal that changes nothing
	}()
	for !clk.HasWaiters() {
		if child.Err() != nil {
			t.Fatal(child.Err())
		}
	}
	clk.Step(time.Minute)
	<-stopped
	if exit, ok := errors.AsType[*process.ExitError](child.Err()); !ok || exit.How != "signal: killed" {
		t.Errorf("got %v, want that it was killed", child.Err())
	}
}

func launcher(t *testing.T) *process.Launcher {
	t.Helper()
	l := process.NewLauncher()
	t.Cleanup(l.Close)

	return l
}

// start starts a family and returns when it is complete, with its answers and how to ask one of its members.
func start(t *testing.T) (child *process.Child, answers *os.File, ask func(who, what string)) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"answers", "child", "grandchild"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pipe := func(name string, mode int) *os.File {
		file, err := os.OpenFile(filepath.Join(dir, name), mode|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })

		return file
	}
	// Whoever opens both ends waits for nobody. The answers have an end when nobody is left who could answer, which we could.
	ours := pipe("answers", os.O_RDWR)
	answers = pipe("answers", os.O_RDONLY)
	questions := map[string]*os.File{"child": pipe("child", os.O_RDWR), "grandchild": pipe("grandchild", os.O_RDWR)}
	child, err := launcher(t).Start(process.Command{
		Path: "/bin/bash", Args: []string{"-c", family}, Dir: dir, Log: filepath.Join(dir, "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Kill() })
	ask = func(who, what string) {
		if _, err := questions[who].WriteString(what + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	for who := range questions {
		ask(who, who+" is there")
		expect(t, answers, who+" is there")
	}
	_ = ours.Close()

	return child, answers, ask
}

// expect reads as many answers as are wanted, in whatever order.
func expect(t *testing.T, answers *os.File, want ...string) {
	t.Helper()
	got := map[string]bool{}
	lines := bufio.NewReader(answers)
	for range want {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("read an answer: %v", err)
		}
		got[strings.TrimSpace(line)] = true
	}
	for _, w := range want {
		if !got[w] {
			t.Errorf("got the answers %v, want %q", got, w)
		}
	}
}
