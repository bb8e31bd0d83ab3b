package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/localplane"
)

// requirePlane skips the test at a desk without the control plane's binaries; in a complete environment their
// absence is an error.
func requirePlane(t *testing.T) {
	t.Helper()
	_, err := localplane.FindBinaries("")
	if missing, ok := errors.AsType[*localplane.MissingBinariesError](err); ok && os.Getenv("LOCKSTEP_REQUIRE_ALL") != "1" {
		t.Skip(missing)
	} else if err != nil {
		t.Fatal(err)
	}
}

// measured is what a run says about one controller, without the times.
type measured struct {
	Expected, Missed, Spurious map[string]int
	RequestsOnLabels           int
	Timed                      bool
}

func TestAFaultyControllerIsToldFromAFaithfulOneInTheSameRun(t *testing.T) {
	t.Parallel()
	requirePlane(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "result.json")
	var out, progress strings.Builder
	code := command(t.Context(), []string{
		"-lockstep", strconv.Quote(self) + " stand-in faithful", "-against", strconv.Quote(self) + " stand-in faulty",
		"-scene", sceneSpeed, "-rounds", "1", "-workloads", "8", "-samples", "8", "-rest", "1s", "-patience", "2s", "-calm", "500ms",
		"-seed", "1", "-json", file, "-check",
	}, &out, &progress)
	t.Log("\n" + progress.String() + "\n" + out.String())
	// Neither of the two knows of a change made while it was down.
	if code != exitMissed {
		t.Errorf("exit code %d, want %d for a missed target with -check", code, exitMissed)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var result report
	if err := json.Unmarshal(data, &result); err != nil {
		t.Fatal(err)
	}
	var got []measured
	for _, turn := range result.Turns {
		got = append(got, summarize(turn))
	}
	expected := map[string]int{phaseSingle: 8, phaseBurst: 8, phaseFanOut: 8, phaseDown: 8}
	want := []measured{
		{Expected: expected, Missed: map[string]int{phaseDown: 8}, Spurious: map[string]int{}, Timed: true},
		{
			Expected: expected,
			Missed:   map[string]int{phaseSingle: 1, phaseBurst: 1, phaseFanOut: 1, phaseDown: 8},
			Spurious: map[string]int{phaseSingle: 1, phaseBurst: 1, phaseFanOut: 1}, Timed: true,
			// Eight ConfigMaps and the Secret.
			RequestsOnLabels: 9,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was measured (-want +got):\n%s", diff)
	}
}

func summarize(turn *Turn) measured {
	m := measured{Expected: map[string]int{}, Missed: map[string]int{}, Spurious: map[string]int{}}
	m.Timed = len(turn.Raw) == 2 && turn.Raw[0] > 0
	for _, p := range turn.Phases {
		for counts, n := range map[*map[string]int]int{&m.Expected: p.Expected, &m.Missed: p.Missed, &m.Spurious: p.Spurious} {
			if n > 0 {
				(*counts)[p.Name] = n
			}
		}
		switch p.Name {
		case phaseLabels:
			m.RequestsOnLabels = p.Requests.all()
		case phaseBurst, phaseFanOut:
			m.Timed = m.Timed && p.Seconds > 0 && p.Requests["patch deployments"] >= 7
		case phaseSingle:
			m.Timed = m.Timed && len(p.Samples) >= 7
		}
	}
	return m
}

func TestTheMemoryOfAControllerIsMeasuredBeforeAndAfterChanges(t *testing.T) {
	t.Parallel()
	requirePlane(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var progress strings.Builder
	result, err := runForTest(t, []string{
		"-lockstep", strconv.Quote(self) + " stand-in faithful", "-scene", sceneMemory, "-rounds", "1",
		"-memory-secrets", "20", "-memory-workloads", "10", "-memory-changes", "5", "-calm", "500ms", "-seed", "1",
	}, &progress)
	t.Log("\n" + progress.String())
	if err != nil {
		t.Fatal(err)
	}
	turn := result.Turns[0]
	for name, m := range map[string]*memory{"initial": turn.Initial, "end": turn.End} {
		if m == nil || m.Resident < 1<<20 || m.Peak < m.Resident || m.Anonymous <= 0 {
			t.Errorf("%s memory: %+v, want at least a MiB resident, and a peak not below it", name, m)
		}
	}
	if p := turn.Phases[0]; p.Expected != 5 || p.Missed != 0 || p.Spurious != 0 {
		t.Errorf("phase %+v, want 5 changes carried and nothing else", p)
	}
}

func TestAControllerThatEndsByItselfBreaksTheRunWithItsLastWords(t *testing.T) {
	t.Parallel()
	requirePlane(t)
	var progress strings.Builder
	begun := time.Now()
	_, err := runForTest(t, []string{
		"-lockstep", `sh -c 'echo no such flag; exit 3'`, "-scene", sceneSpeed, "-rounds", "1", "-workloads", "1", "-samples", "1",
	}, &progress)
	if err == nil || !strings.Contains(err.Error(), "no such flag") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v, want how sh ended and what it said", err)
	}
	if took := time.Since(begun); took > readyLimit {
		t.Errorf("it took %s to notice", took)
	}
}

func runForTest(t *testing.T, args []string, progress *strings.Builder) (report, error) {
	t.Helper()
	clk := clock.RealClock{}
	o, err := parse(args, clk.Now(), progress)
	if err != nil {
		t.Fatal(err)
	}
	return run(t.Context(), o, clk, progress)
}
