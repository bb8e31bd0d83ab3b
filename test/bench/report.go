package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is everything that the run measured, and what is concluded from it.
type report struct {
	Date      time.Time `json:"date"`
	Cores     int       `json:"cores"`
	Memory    int64     `json:"memoryBytes"`
	Go        string    `json:"go"`
	Platform  string    `json:"platform"`
	Seed      int64     `json:"seed"`
	Rounds    int       `json:"rounds"`
	Workloads int       `json:"workloads"`
	Replicas  int       `json:"replicas"`
	Samples   int       `json:"samples"`

	MemorySecrets   int `json:"memorySecrets"`
	MemoryWorkloads int `json:"memoryWorkloads"`
	MemoryChanges   int `json:"memoryChanges"`

	Graph graphSizes `json:"graph"`
	Live  liveSizes  `json:"live"`

	Rows  []row   `json:"rows"`
	Turns []*Turn `json:"turns"`

	controllers []string
}

// row is one measure of all controllers. A value that was not measured is missing.
type row struct {
	Measure string `json:"measure"`
	Unit    string `json:"unit,omitempty"`
	// Target is the most that Lockstep may reach; nil when there is no target.
	Target *float64           `json:"target,omitempty"`
	Values map[string]float64 `json:"values"`
	// Met says whether Lockstep reaches the target; nil when there is none or nothing was measured.
	Met *bool `json:"met,omitempty"`
}

func newReport(o options, names []string, turns []*Turn, begun time.Time) report {
	r := report{
		Date: begun.UTC(), Cores: runtime.NumCPU(), Memory: machineMemory(), Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Seed: o.Seed, Rounds: o.Rounds,
		Workloads: o.Workloads, Replicas: o.Replicas, Samples: o.Samples, Turns: turns,
		MemorySecrets: o.MemorySecrets, MemoryWorkloads: o.MemoryWorkloads, MemoryChanges: o.MemoryChanges,
		Graph: o.Graph, Live: o.Live, controllers: names,
	}
	raw := rawLimit(turns)
	for _, m := range measures(o) {
		if line, measured := m.row(turns, raw, r.controllers); measured {
			r.Rows = append(r.Rows, line)
		}
	}
	return r
}

// rawLimit is the median of the raw limits of all turns, in seconds; NaN when none was measured.
func rawLimit(turns []*Turn) float64 {
	var all []float64
	for _, t := range turns {
		all = append(all, t.Raw...)
	}
	return median(all)
}

// row evaluates the measure. It returns false when nobody has a value.
func (m measure) row(turns []*Turn, raw float64, controllers []string) (row, bool) {
	line := row{Measure: m.name, Unit: m.unit, Values: map[string]float64{}}
	if m.limited {
		line.Target = &m.target
	}
	for i, name := range controllers {
		var own []*Turn
		for _, t := range turns {
			if t.Controller == name {
				own = append(own, t)
			}
		}
		value := m.of(own, raw)
		if math.IsNaN(value) {
			continue
		}
		line.Values[name] = value
		// The first controller is ours, the targets are for it.
		if i == 0 && m.limited {
			met := value <= m.target
			line.Met = &met
		}
	}
	return line, len(line.Values) > 0
}

// missed tells whether Lockstep misses a target.
func (r report) missed() bool {
	return slices.ContainsFunc(r.Rows, func(line row) bool { return line.Met != nil && !*line.Met })
}

// machine describes where and how it was measured, in one line each.
func (r report) machine() []string {
	return []string{
		fmt.Sprintf("%d cores, %.1f GiB of memory, %s, %s, %s", r.Cores, float64(r.Memory)/(1<<30), r.Go, r.Platform,
			r.Date.Format("2006-01-02")),
		fmt.Sprintf("rounds %d, workloads %d, pods of each %d, single changes a round %d, seed %d",
			r.Rounds, r.Workloads, r.Replicas, r.Samples, r.Seed),
		fmt.Sprintf("memory scene: Secrets %d, workloads %d, changes %d", r.MemorySecrets, r.MemoryWorkloads, r.MemoryChanges),
		fmt.Sprintf("graph scene: instances %d, chains %d, samples %d, at the restart %d",
			r.Graph.Instances, r.Graph.Chains, r.Graph.Samples, r.Graph.Many),
		fmt.Sprintf("live scene: LiveConfigs %d, burst %d, single changes of each store %d",
			r.Live.Configs, r.Live.Burst, r.Live.Samples),
	}
}

// table returns the measures as lines of cells, the first line being the head.
func (r report) table() [][]string {
	lines := [][]string{append([]string{"measure", "target", "verdict"}, r.controllers...)}
	for _, line := range r.Rows {
		cells := []string{line.Measure, "", ""}
		if line.Target != nil {
			cells[1] = "≤ " + amount(*line.Target, line.Unit)
		}
		if line.Met != nil {
			cells[2] = map[bool]string{true: "met", false: "MISSED"}[*line.Met]
		}
		for _, name := range r.controllers {
			value, measured := line.Values[name]
			cells = append(cells, map[bool]string{true: amount(value, line.Unit), false: "–"}[measured])
		}
		lines = append(lines, cells)
	}
	return lines
}

// amount writes a value with as many digits as mean something.
func amount(value float64, unit string) string {
	digits := 0
	switch {
	case unit == "" || value == math.Trunc(value):
	case value < 10:
		digits = 2
	case value < 100:
		digits = 1
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", digits, value, unit))
}

// costs returns what each phase of the last round cost each controller, as lines of cells with a head.
func (r report) costs() [][]string {
	lines := [][]string{{"phase", "controller", "CPU", "requests"}}
	for _, t := range r.Turns {
		if t.Round != r.Rounds {
			continue
		}
		for _, p := range t.Phases {
			lines = append(lines, []string{p.Name, t.Controller, fmt.Sprintf("%.2f s", p.CPUSeconds), p.Requests.String()})
		}
	}
	rank := phaseOrder()
	slices.SortStableFunc(lines[1:], func(a, b []string) int { return cmp.Compare(rank[a[0]], rank[b[0]]) })
	return lines
}

func phaseOrder() map[string]int {
	rank := map[string]int{}
	names := []string{
		phaseSingle, phaseRest, phaseBurst, phaseLabels, phaseFanOut, phaseRestart, phaseDown, phaseChanges,
		phaseCreated, phaseEdited, phaseDrift, phaseDefinitions, phaseChains, phaseTravel, phaseQuiet, phaseDeleted,
		phaseEmpty, phaseMany, phaseManyRestart, phaseManyDrift,
	}
	for i, name := range append(names, livePhases()...) {
		rank[name] = i
	}
	return rank
}

// String lists the requests, the most frequent first.
func (r requests) String() string {
	if len(r) == 0 {
		return "none"
	}
	kinds := slices.SortedFunc(maps.Keys(r), func(a, b string) int {
		return cmp.Or(cmp.Compare(r[b], r[a]), strings.Compare(a, b))
	})
	for i, kind := range kinds {
		kinds[i] = fmt.Sprintf("%d %s", r[kind], kind)
	}
	return strings.Join(kinds, ", ")
}

// text prints the report in aligned columns.
func (r report) text(out io.Writer) error {
	for _, line := range r.machine() {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err //nolint:wrapcheck // the caller says what was printed
		}
	}
	for _, table := range [][][]string{r.table(), r.costs()} {
		if _, err := fmt.Fprintln(out); err != nil {
			return err //nolint:wrapcheck // as above
		}
		columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, cells := range table {
			if _, err := fmt.Fprintln(columns, strings.Join(cells, "\t")); err != nil {
				return err //nolint:wrapcheck // as above
			}
		}
		if err := columns.Flush(); err != nil {
			return err //nolint:wrapcheck // as above
		}
	}
	return nil
}

// markdown prints the report as two tables for the documentation.
func (r report) markdown(out io.Writer) error {
	var b strings.Builder
	for _, line := range r.machine() {
		b.WriteString("- " + line + "\n")
	}
	for _, table := range [][][]string{r.table(), r.costs()} {
		b.WriteString("\n| " + strings.Join(table[0], " | ") + " |\n")
		b.WriteString(strings.Repeat("|---", len(table[0])) + "|\n")
		for _, cells := range table[1:] {
			b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
		}
	}
	_, err := io.WriteString(out, b.String())
	return err //nolint:wrapcheck // the caller says what was printed
}
