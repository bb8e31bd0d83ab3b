package demo_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lockstep-dev/lockstep/internal/cli"
	"github.com/lockstep-dev/lockstep/internal/demo"
	"github.com/lockstep-dev/lockstep/internal/localplane"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/manager"
)

// TestMain makes the test binary the lockstep command where the demo starts it as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
		if err := cli.New(streams, manager.Run).ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// told is an output that calls back when a text has appeared in it.
type told struct {
	mu    sync.Mutex
	text  strings.Builder
	await string
	then  func()
}

func (w *told) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.text.Write(p)
	if w.then != nil && strings.Contains(w.text.String(), w.await) {
		w.then()
		w.then = nil
	}

	return len(p), nil
}

func (w *told) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.text.String()
}

// lockstep runs a command as a user would, with a temporary directory of its own, which is returned, as the
// working directory.
func lockstep(ctx context.Context, t *testing.T, out *told, args ...string) (string, error) {
	t.Helper()
	bin, err := localplane.FindBinaries("")
	if err != nil && os.Getenv("LOCKSTEP_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// A store server may have to run as somebody else, who has to pass.
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("TMPDIR", dir)
	command := cli.New(genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: out}, manager.Run)
	command.SetArgs(append(args, "--bin="+bin))

	return dir, command.ExecuteContext(ctx)
}

// empty fails the test when something was left behind.
func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTheDemoCarriesEveryChangeAndLeavesNothingBehind(t *testing.T) {
	out := &told{}
	dir, err := lockstep(t.Context(), t, out, "demo")
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	empty(t, dir)
	// Each table has a line for each workload; its state is all that is the same in every run.
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^  (\w+/\w+) .*(moved|untouched)\b`).FindAllStringSubmatch(out.String(), -1) {
		got = append(got, m[1]+" "+m[2])
	}
	rotated := []string{
		"Deployment/api moved", "Deployment/worker moved", "Deployment/web untouched", "Deployment/static untouched",
		"StatefulSet/ledger moved", "DaemonSet/agent moved", "CronJob/backup moved",
	}
	want := append(append(append([]string{}, rotated...), rotated...),
		"Deployment/api moved", "Deployment/worker untouched", "Deployment/web moved", "Deployment/static untouched",
		"StatefulSet/ledger untouched", "DaemonSet/agent untouched", "CronJob/backup untouched")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the tables (-want +got):\n%s\nin:\n%s", diff, out)
	}
}

func TestTheDemoOfGraphsCarriesEveryValueAndLeavesNothingBehind(t *testing.T) {
	out := &told{}
	dir, err := lockstep(t.Context(), t, out, "demo", "--graph")
	if err != nil {
		t.Fatalf("demo --graph: %v\n%s", err, out)
	}
	empty(t, dir)
	// What is the same in every run: who moved, the words of those who wait, and the way of each value.
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^  (\w+/\w+) .*\b(moved|untouched)\b|`+
		`^  (\w+/\w+) is (waiting .*) \(|^  (\w+/\w+) +((?:spec|status)\.\w+) +(.*\S) +[\d.]+ ms +[\d.]+ ms$`).
		FindAllStringSubmatch(out.String(), -1) {
		got = append(got, strings.Join(strings.Fields(strings.Join(m[1:], " ")), " "))
	}
	want := []string{
		"Deployment/orders moved", "Deployment/storefront untouched",
		`ClusterWithNetwork/shop waiting for fields before "cluster": network.status.privateSubnet2ID, ` +
			`network.status.privateSubnet1ID matching "^subnet-"`,
		`ClusterWithNetwork/shop waiting for fields before "cluster": network.status.privateSubnet1ID matching "^subnet-"`,
		"Network/shop status.privateSubnet1ID subnet-1",
		"ManagedCluster/shop spec.subnetIDs [subnet-1 subnet-2]", "Cluster/shop spec.subnetIDs [subnet-1 subnet-2]",
		"ManagedCluster/shop status.endpoint https://shop.cloud.example.com",
		"ClusterWithNetwork/shop status.endpoint https://shop.cloud.example.com", "ClusterWithNetwork/shop status.state ACTIVE",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the stories (-want +got):\n%s\nin:\n%s", diff, out)
	}
}

func TestTheDemoOfLiveSettings(t *testing.T) {
	out := &told{}
	dir, err := lockstep(t.Context(), t, out, "demo", "--live")
	if _, missing := errors.AsType[*localstore.MissingServerError](err); missing && os.Getenv("LOCKSTEP_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("demo --live: %v\n%s", err, out)
	}
	empty(t, dir)
	// What is the same in every run: each store's way from value to value.
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^  (Ceph|PostgreSQL|Redis)  .*?  ((?:\w+ → )+\w+|untouched|does not answer)\b`).
		FindAllStringSubmatch(out.String(), -1) {
		got = append(got, m[1]+" "+strings.TrimSpace(m[2]))
	}
	want := []string{
		"Ceph 260 → 300", "PostgreSQL 6MB → 8MB", "Redis 67108864 → 100663296",
		"Ceph untouched", "PostgreSQL untouched", "Redis untouched",
		"Ceph 300 → 360", "PostgreSQL 8MB → 12MB", "Redis 100663296 → 167772160",
		"Ceph 360 → 400 → 360", "PostgreSQL 12MB → 16MB → 12MB", "Redis does not answer",
		"Ceph 360 → 400", "PostgreSQL 12MB → 16MB", "Redis 167772160 → 201326592",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the ways of the values (-want +got):\n%s\nin:\n%s", diff, out)
	}
	for _, said := range []string{
		`Refused: postgres: work_mem `, `secret/limits\[work_mem\]`,
		// Redis may have answered to the write and not any more when it is read back.
		`RolledBack: .*LiveStore redis.*does not answer in time`, `Nothing is lost\.`,
	} {
		if !regexp.MustCompile(said).MatchString(out.String()) {
			t.Errorf("not a word of %q in:\n%s", said, out)
		}
	}
}

func TestFlagsOfTheDemoThatDoNotGoTogether(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"two demonstrations at once":         {"--graph", "--live"},
		"store servers cannot be left alone": {"--live", "--keep"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := &told{}
			command := cli.New(genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: out}, manager.Run)
			command.SetArgs(append([]string{"demo"}, args...))
			if err := command.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), args[1]) {
				t.Errorf("demo %v = %v, want that they do not go together", args, err)
			}
			if out.String() != "" {
				t.Errorf("it has begun: %s", out)
			}
		})
	}
}

func TestAnInterruptedDemoLeavesNothingBehind(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out := &told{await: "1. Secret/db is rotated", then: interrupt}
	dir, err := lockstep(ctx, t, out, "demo")
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("demo = %v, want an interruption\n%s", err, out)
	}
	empty(t, dir)
}

func TestAKeptDemoSaysHowToUseItAndHowToStopIt(t *testing.T) {
	out := &told{}
	dir, err := lockstep(t.Context(), t, out, "demo", "--keep")
	defer func() {
		_ = localplane.Down(context.WithoutCancel(t.Context()), filepath.Join(dir, ".lockstep", "demo"))
	}()
	if err != nil {
		t.Fatalf("demo --keep: %v\n%s", err, out)
	}
	for _, word := range []string{"export KUBECONFIG=", "alias kubectl=", "patch secret db", "/metrics", "manager.log"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("not a word of %q in:\n%s", word, out)
		}
	}
	stop := regexp.MustCompile(`kill (\d+); (.*)\n`).FindStringSubmatch(out.String())
	if stop == nil {
		t.Fatalf("it does not say how to stop it:\n%s", out)
	}
	again := &told{}
	command := cli.New(genericiooptions.IOStreams{In: strings.NewReader(""), Out: again, ErrOut: again}, manager.Run)
	command.SetArgs([]string{"demo", "--keep"})
	if err := command.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "local down") {
		t.Errorf("a second demo --keep = %v, want how to end the first", err)
	}
	// Both are what the demo itself printed.
	if said, err := exec.CommandContext(t.Context(), "sh", "-c", stop[0]).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", stop[0], err, said)
	}
	if _, err := localplane.Inspect(filepath.Join(dir, ".lockstep", "demo")); err == nil {
		t.Error("the control plane is still there")
	}
}

func TestAManagerThatEndsByItselfEndsTheDemoWithItsLastWords(t *testing.T) {
	if _, err := localplane.FindBinaries(""); err != nil && os.Getenv("LOCKSTEP_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	script := filepath.Join(t.TempDir(), "manager")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho what went wrong\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	out := &told{}
	_, err := demo.Run(t.Context(), demo.Options{Executable: script, Out: out, Clock: clock.RealClock{}})
	if err == nil || !strings.Contains(err.Error(), "ended by itself (exit status 3)") ||
		!strings.Contains(err.Error(), "what went wrong") {
		t.Errorf("Run = %v, want the manager's last words\n%s", err, out)
	}
	empty(t, temp)
}

func TestABystanderThatChangesFailsTheDemoByItsName(t *testing.T) {
	bin, err := localplane.FindBinaries("")
	if err != nil && os.Getenv("LOCKSTEP_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	// It rolls one that it should not each time a manager starts, and is the manager then.
	meddler := fmt.Sprintf(`#!/bin/sh
%s/kubectl --namespace=shop patch deployment static --type=merge \
  --patch="{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"pid\":\"$$\"}}}}}" || exit
exec %s "$@"
`, bin, os.Args[0])
	script := filepath.Join(t.TempDir(), "manager")
	if err := os.WriteFile(script, []byte(meddler), 0o700); err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	out := &told{}
	_, err = demo.Run(t.Context(), demo.Options{Executable: script, Env: os.Environ(), Out: out, Clock: clock.RealClock{}})
	if err == nil || !strings.HasPrefix(err.Error(), "Deployment/static has changed, and nothing that it reads did") {
		t.Errorf("Run = %v, want the name of the bystander\n%s", err, out)
	}
	empty(t, temp)
}

func TestWithoutBinariesTheDemoSaysWhatIsMissing(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	o := demo.Options{Bin: t.TempDir(), Executable: os.Args[0], Out: &told{}, Clock: clock.RealClock{}}
	if _, err := demo.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "make plane") {
		t.Errorf("Run = %v, want how to get the binaries", err)
	}
	empty(t, temp)
	t.Chdir(temp)
	o.Keep, o.Dir, o.Env = true, "kept", os.Environ()
	if _, err := demo.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "make plane") {
		t.Errorf("Run with Keep = %v, want how to get the binaries", err)
	}
}
