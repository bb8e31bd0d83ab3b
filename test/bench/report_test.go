package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// measuredTurns is a run of two controllers, of which the second is slow and forgetful.
func measuredTurns() []*Turn {
	return []*Turn{
		{
			Scene: sceneSpeed, Controller: "lockstep", Round: 1, Raw: []float64{0.2, 0.3},
			Phases: []*Phase{
				{Name: phaseSingle, Expected: 3, Samples: []float64{9, 10, 81}, CPUSeconds: 0.5, Requests: requests{"patch deployments": 3}},
				{Name: phaseRest, Requests: requests{"watch secrets": 1}},
				{Name: phaseBurst, Expected: 3, Seconds: 0.5},
				{Name: phaseRestart, Spurious: 0},
			},
		},
		{
			Scene: sceneSpeed, Controller: "other", Round: 1, Raw: []float64{0.2, 0.3},
			Phases: []*Phase{
				{Name: phaseSingle, Expected: 3, Missed: 1, Samples: []float64{100, 101}, Requests: requests{"list deployments": 3}},
				{Name: phaseRest, Requests: requests{"update leases": 5}},
				{Name: phaseBurst, Expected: 3, Seconds: 25},
				{Name: phaseRestart, Spurious: 2},
			},
		},
		{
			Scene: sceneMemory, Controller: "lockstep", Round: 1,
			Initial: &memory{Resident: 69_000_000}, End: &memory{Resident: 71_500_000, Peak: 90_000_000},
		},
	}
}

func TestTheTableComparesWithTheTargetsInsideTheRun(t *testing.T) {
	t.Parallel()
	o := options{Rest: 10 * time.Second, Rounds: 1, Workloads: 3, Samples: 3, Seed: 7}
	r := newReport(o, []string{"lockstep", "other"}, measuredTurns(), time.Unix(1700000000, 0))
	want := [][]string{
		{"measure", "target", "verdict", "lockstep", "other"},
		{"single change, p50", "≤ 25 ms", "met", "10 ms", "100 ms"},
		{"single change, p99", "≤ 80 ms", "MISSED", "81 ms", "101 ms"},
		{"raw limit, one patch of each workload", "", "", "0.25 s", "0.25 s"},
		{"burst, one ConfigMap of each workload", "", "", "0.50 s", "25 s"},
		{"burst / raw limit", "≤ 3 ×", "met", "2 ×", "100 ×"},
		{"writes at rest in 10s", "≤ 0", "met", "0", "5"},
		{"lists at rest in 10s", "≤ 0", "met", "0", "0"},
		{"spurious rollouts while running", "≤ 0", "met", "0", "0"},
		{"spurious rollouts after a restart", "≤ 0", "met", "0", "2"},
		{"missed changes while running", "≤ 0", "met", "0", "1"},
		{"missed changes made while down", "≤ 0", "met", "0", "0"},
		{"resident memory after the initial list", "≤ 70 MB", "met", "69 MB", "–"},
		{"resident memory at the end", "≤ 70 MB", "MISSED", "71.5 MB", "–"},
		{"of it heap and stacks, at the end", "", "", "0 MB", "–"},
		{"of it pages of files, at the end", "", "", "0 MB", "–"},
		{"largest resident memory until the end", "", "", "90 MB", "–"},
	}
	if diff := cmp.Diff(want, r.table()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if !r.missed() {
		t.Error("no target counts as missed")
	}
}

func TestOnlyATargetOfLockstepCanBeMissed(t *testing.T) {
	t.Parallel()
	turns := measuredTurns()[1:2]
	r := newReport(options{Rounds: 1}, []string{"lockstep", "other"}, turns, time.Unix(1700000000, 0))
	if r.missed() {
		t.Error("the other controller's numbers count against the targets")
	}
}

func TestTheReportNamesTheMachineAndTheCosts(t *testing.T) {
	t.Parallel()
	r := newReport(options{
		Rounds: 1, Workloads: 3, Samples: 3, Seed: 7, MemorySecrets: 5, MemoryWorkloads: 4, MemoryChanges: 2,
		Graph: graphSizes{Instances: 6, Chains: 3, Samples: 5, Many: 9}, Live: liveSizes{Configs: 8, Burst: 2, Samples: 4},
	}, []string{"lockstep"},
		measuredTurns()[:1], time.Unix(1700000000, 0))
	r.Cores, r.Memory, r.Go, r.Platform = 2, 24<<30, "go1.26", "linux/amd64"
	r.Rows = r.Rows[:1]
	cases := map[string]struct {
		write func(report, *strings.Builder) error
		want  string
	}{
		"as text": {
			write: func(r report, b *strings.Builder) error { return r.text(b) },
			want: `2 cores, 24.0 GiB of memory, go1.26, linux/amd64, 2023-11-14
rounds 1, workloads 3, pods of each 0, single changes a round 3, seed 7
memory scene: Secrets 5, workloads 4, changes 2
graph scene: instances 6, chains 3, samples 5, at the restart 9
live scene: LiveConfigs 8, burst 2, single changes of each store 4

measure             target   verdict  lockstep
single change, p50  ≤ 25 ms  met      10 ms

phase           controller  CPU     requests
single changes  lockstep    0.50 s  3 patch deployments
at rest         lockstep    0.00 s  1 watch secrets
burst           lockstep    0.00 s  none
restart         lockstep    0.00 s  none
`,
		},
		"as Markdown": {
			write: func(r report, b *strings.Builder) error { return r.markdown(b) },
			want: `- 2 cores, 24.0 GiB of memory, go1.26, linux/amd64, 2023-11-14
- rounds 1, workloads 3, pods of each 0, single changes a round 3, seed 7
- memory scene: Secrets 5, workloads 4, changes 2
- graph scene: instances 6, chains 3, samples 5, at the restart 9
- live scene: LiveConfigs 8, burst 2, single changes of each store 4

| measure | target | verdict | lockstep |
|---|---|---|---|
| single change, p50 | ≤ 25 ms | met | 10 ms |

| phase | controller | CPU | requests |
|---|---|---|---|
| single changes | lockstep | 0.50 s | 3 patch deployments |
| at rest | lockstep | 0.00 s | 1 watch secrets |
| burst | lockstep | 0.00 s | none |
| restart | lockstep | 0.00 s | none |
`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := c.write(r, &b); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheCommandLineIsChecked(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args []string
		want int
		says string
	}{
		"help is no error":             {args: []string{"-help"}, want: 0, says: "-against"},
		"an unknown flag":              {args: []string{"-fast"}, want: exitBroken, says: "-fast"},
		"an argument":                  {args: []string{"now"}, want: exitBroken, says: `"now"`},
		"an unknown scene":             {args: []string{"-scene", "x"}, want: exitBroken, says: "speed, memory, graph, live or all"},
		"no rounds":                    {args: []string{"-rounds", "0"}, want: exitBroken, says: "-rounds"},
		"a negative number of pods":    {args: []string{"-replicas", "-1"}, want: exitBroken, says: "-replicas"},
		"no patience":                  {args: []string{"-patience", "0s"}, want: exitBroken, says: "-patience"},
		"more changes than workloads":  {args: []string{"-memory-changes", "9", "-memory-workloads", "8"}, want: exitBroken, says: "-memory-changes"},
		"an empty burst":               {args: []string{"-live-burst", "0"}, want: exitBroken, says: "-live-burst"},
		"fewer LiveConfigs than burst": {args: []string{"-live-configs", "204"}, want: exitBroken, says: "at least 205"},
		"a command with an open quote": {args: []string{"-against", "'x"}, want: exitBroken, says: "-against"},
		"an empty command":             {args: []string{"-lockstep", " "}, want: exitBroken, says: "-lockstep"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, progress strings.Builder
			if got := command(t.Context(), c.args, &out, &progress); got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
			if !strings.Contains(progress.String(), c.says) {
				t.Errorf("it said %q, want something about %q", progress.String(), c.says)
			}
		})
	}
}
