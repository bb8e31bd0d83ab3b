package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
)

// The exit codes: a missed target counts only with -check.
const (
	exitMissed = 1
	exitBroken = 2
)

// The scenes that -scene names.
const (
	sceneAll    = "all"
	sceneSpeed  = "speed"
	sceneMemory = "memory"
	sceneGraph  = "graph"
	sceneLive   = "live"
)

// options is the command line.
type options struct {
	// Dir keeps the plane's data and the logs of the controllers; empty means a temporary folder.
	Dir string
	// Bin is the folder with the control plane's binaries; empty means the usual places.
	Bin string
	// Lockstep is the path of the binary or a whole command line.
	Lockstep string
	// Against is the command line of another controller; empty for none.
	Against string
	Scene   string
	Rounds  int
	Seed    int64

	Workloads int
	Samples   int
	Replicas  int
	Rest      time.Duration
	// Patience is how long nothing may move before what is missing counts as missed.
	Patience time.Duration
	// Calm is how long a controller must send nothing to be at rest. It must be longer than what a controller may
	// wait to gather the writes that follow a change.
	Calm time.Duration

	MemorySecrets   int
	MemoryWorkloads int
	MemoryChanges   int

	Graph graphSizes
	Live  liveSizes

	JSON     string
	Markdown bool
	Check    bool
}

func main() {
	os.Exit(command(ctrl.SetupSignalHandler(), os.Args[1:], os.Stdout, os.Stderr))
}

// command runs the benchmark and returns the exit code. The report goes to out, progress and errors to progress.
func command(ctx context.Context, args []string, out, progress io.Writer) int {
	clk := clock.RealClock{}
	o, err := parse(args, clk.Now(), progress)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintln(progress, "bench:", err)
		return exitBroken
	}
	result, err := run(ctx, o, clk, progress)
	if err != nil {
		_, _ = fmt.Fprintln(progress, "bench: the run broke:", err)
		return exitBroken
	}
	if err := publish(result, o, out); err != nil {
		_, _ = fmt.Fprintln(progress, "bench:", err)
		return exitBroken
	}
	if o.Check && result.missed() {
		return exitMissed
	}
	return 0
}

// parse reads the command line. The seed is taken from now unless it is given.
func parse(args []string, now time.Time, help io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.StringVar(&o.Dir, "dir", "", "keep the plane's data and all logs in this folder (default: a temporary one)")
	flags.StringVar(&o.Bin, "bin", "", "folder with the control plane's binaries (default: bin/plane of the repository)")
	flags.StringVar(&o.Lockstep, "lockstep", "bin/lockstep", "the binary to measure, or a whole command line")
	flags.StringVar(&o.Against, "against", "", "command line of another controller to measure in the same run; it finds the plane in KUBECONFIG. "+
		"With -scene graph it serves resource graphs, with -scene live LiveConfigs, otherwise the annotations of reload. "+
		"In both command lines "+metricsWord+" stands for the address at which its metrics are read")
	flags.StringVar(&o.Scene, "scene", sceneAll, "speed, memory, graph, live or all")
	flags.IntVar(&o.Rounds, "rounds", 3, "how often each controller has its turn in each scene")
	flags.Int64Var(&o.Seed, "seed", now.UnixNano(), "seed of the order of changes and of the contents")
	flags.IntVar(&o.Workloads, "workloads", 300, "speed: number of opted-in workloads")
	flags.IntVar(&o.Samples, "samples", 300, "speed: number of single changes in each round")
	flags.IntVar(&o.Replicas, "replicas", 0, "speed: pods of each workload, on simulated nodes")
	flags.DurationVar(&o.Rest, "rest", 10*time.Second, "speed and live: how long the steady state is watched")
	flags.DurationVar(&o.Patience, "patience", 30*time.Second, "how long nothing may move before a change counts as missed")
	flags.DurationVar(&o.Calm, "calm", 3*time.Second, "how long a controller must send nothing to be at rest")
	flags.IntVar(&o.MemorySecrets, "memory-secrets", 5000, "memory: number of unreferenced Secrets of 10 KiB")
	flags.IntVar(&o.MemoryWorkloads, "memory-workloads", 2000, "memory: number of opted-in workloads, without pods")
	flags.IntVar(&o.MemoryChanges, "memory-changes", 300, "memory: number of changes before the end is measured")
	o.Graph.flags(flags)
	o.Live.flags(flags)
	flags.StringVar(&o.JSON, "json", "", "write everything that was measured to this file")
	flags.BoolVar(&o.Markdown, "markdown", false, "print the table as Markdown")
	flags.BoolVar(&o.Check, "check", false, "end with 1 when a target is missed")
	if err := flags.Parse(args); err != nil {
		return o, err //nolint:wrapcheck // the flag package names the flag already, and ErrHelp must stay itself
	}
	return o, o.validate(flags.Args())
}

func (o options) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case !slices.Contains([]string{sceneAll, sceneSpeed, sceneMemory, sceneGraph, sceneLive}, o.Scene):
		return fmt.Errorf("-scene=%q: want speed, memory, graph, live or all", o.Scene)
	case min(o.Rounds, o.Workloads, o.Samples, o.MemoryWorkloads) < 1:
		return errors.New("-rounds, -workloads, -samples and -memory-workloads must be at least 1")
	case min(o.Replicas, o.MemorySecrets, o.MemoryChanges) < 0:
		return errors.New("-replicas, -memory-secrets and -memory-changes must not be negative")
	case o.MemoryChanges > o.MemoryWorkloads:
		return errors.New("-memory-changes must not exceed -memory-workloads")
	case min(o.Patience, o.Rest, o.Calm) <= 0:
		return errors.New("-patience, -rest and -calm must be positive")
	}
	return errors.Join(o.Graph.validate(), o.Live.validate())
}

// publish prints the table and writes the JSON file.
func publish(result report, o options, out io.Writer) error {
	write := result.text
	if o.Markdown {
		write = result.markdown
	}
	if err := write(out); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if o.JSON == "" {
		return nil
	}
	data, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.WriteFile(o.JSON, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
