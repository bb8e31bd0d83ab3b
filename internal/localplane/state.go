package localplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/lockstep-dev/lockstep/internal/process"
)

// ErrRunning says that a plane already runs in the directory.
var ErrRunning = errors.New("a control plane already runs")

// ErrNotRunning says that no plane runs in the directory.
var ErrNotRunning = errors.New("no control plane runs")

// Process is a process that a plane started. A pid alone is given to others after the process has gone, so the
// time of its start belongs to its identity.
type Process struct {
	// Name is the component's name, such as kube-apiserver.
	Name string `json:"name"`
	// PID is the process id.
	PID int `json:"pid"`
	// Started is when the process started, in clock ticks since the machine's boot.
	Started uint64 `json:"started"`
}

// Alive says whether this very process still runs, not merely some process with its pid.
func (p Process) Alive() bool {
	started, ok := process.Started(p.PID)

	return ok && started == p.Started
}

// State is what a plane leaves in its directory for other processes to find it.
type State struct {
	// Supervisor is the process that started the components and ends them.
	Supervisor Process `json:"supervisor"`
	// Components are the processes of the control plane, in the order in which they were started.
	Components []Process `json:"components"`
	// Server is the URL of the API server.
	Server string `json:"server"`
	// Keep says whether the data outlives the plane.
	Keep bool `json:"keep"`
}

// Inspect reads the state of the plane in dir. The error is [ErrNotRunning] when none was started there or when it
// was stopped; a state whose processes have died is still returned, so that they can be named.
func Inspect(dir string) (State, error) {
	content, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, fmt.Errorf("%w in %s", ErrNotRunning, dir)
	}
	if err != nil {
		return State{}, fmt.Errorf("read the state of the plane: %w", err)
	}
	var s State
	if err := json.Unmarshal(content, &s); err != nil {
		return State{}, fmt.Errorf("read the state of the plane %s: %w", filepath.Join(dir, stateFile), err)
	}

	return s, nil
}

// Down ends the plane in dir, started by whatever process, and returns when all its processes have gone. It asks
// the supervisor to end first and kills what is left then, and never touches a process that has merely taken over
// the pid of one of them. The error is [ErrNotRunning] when there is nothing to end.
func Down(ctx context.Context, dir string) error {
	s, err := Inspect(dir)
	if err != nil {
		return err
	}
	if err := terminate(ctx, s.Supervisor, syscall.SIGTERM, 2*stopGrace); err != nil {
		return fmt.Errorf("stop the plane in %s: %w", dir, err)
	}
	if err := s.sweep(ctx); err != nil {
		return fmt.Errorf("stop the plane in %s: %w", dir, err)
	}

	return removeState(dir)
}

// sweep kills what a supervisor that died has left behind.
func (s State) sweep(ctx context.Context) error {
	var errs []error
	for _, p := range s.Components {
		errs = append(errs, terminate(ctx, p, syscall.SIGKILL, stopGrace))
	}

	return errors.Join(errs...)
}

// write replaces the state file in one step: a reader never sees half of it.
func (s State) write(dir string) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the state of the plane: %w", err)
	}
	path := filepath.Join(dir, stateFile)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("write the state of the plane: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the state of the plane: %w", err)
	}

	return nil
}

func removeState(dir string) error {
	if err := os.Remove(filepath.Join(dir, stateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the state of the plane: %w", err)
	}

	return nil
}

// stopGrace is how long a component may take to end when it is asked to.
const stopGrace = 10 * time.Second
