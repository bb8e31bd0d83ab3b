package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/utils/clock"
)

// controller is what -lockstep and -against name.
type controller struct {
	Name string   `json:"name"`
	Argv []string `json:"-"`
}

// dialect is the API that a scene's controllers serve.
type dialect string

const (
	dialectReload dialect = "reload"
	dialectGraph  dialect = "graph"
)

// against tells which dialect the other controller serves: it is measured in scenes of that one only.
func (o options) against() dialect {
	if o.Scene == sceneGraph {
		return dialectGraph
	}
	return dialectReload
}

// arguments are those of the binary when it is given without any.
func (d dialect) arguments() []string {
	const metrics = "--metrics-bind-address=127.0.0.1:0"
	if d == dialectGraph {
		return []string{"graph-controller", metrics, "--health-probe-bind-address=127.0.0.1:0"}
	}
	return []string{"manager", "--dialects=reload", metrics, "--namespace=" + systemNamespace}
}

// controllers returns Lockstep, and the other controller when there is one of the dialect.
func (o options) controllers(d dialect) ([]controller, error) {
	ours, err := words(o.Lockstep)
	if err != nil {
		return nil, fmt.Errorf("-lockstep: %w", err)
	}
	theirs, err := words(o.Against)
	if err != nil {
		return nil, fmt.Errorf("-against: %w", err)
	}
	switch len(ours) {
	case 0:
		return nil, fmt.Errorf("-lockstep=%q names no command", o.Lockstep)
	case 1:
		ours = append(ours, d.arguments()...)
	}
	all := []controller{{Name: "lockstep", Argv: ours}}
	if len(theirs) > 0 && d == o.against() {
		name := filepath.Base(theirs[0])
		if name == all[0].Name {
			name += " (against)"
		}
		all = append(all, controller{Name: name, Argv: theirs})
	}
	return all, nil
}

// subject is a controller on one plane: its identity there and its process, through all its restarts.
type subject struct {
	controller

	clock clock.Clock
	// user is the name under which the API server knows it.
	user       string
	kubeconfig string
	log        string

	current *process
	// spent is the CPU time of its processes that have ended.
	spent time.Duration
	// stopped is closed when the current process was asked to end.
	stopped chan struct{}
}

// start starts the process. When it ends without being asked to, broken is called with the reason.
func (s *subject) start(broken context.CancelCauseFunc) error {
	p, err := startProcess(s.Argv, append(os.Environ(), "KUBECONFIG="+s.kubeconfig), s.log)
	if err != nil {
		return err
	}
	stopped := make(chan struct{})
	s.current, s.stopped = p, stopped
	go func() {
		<-p.done
		select {
		case <-stopped:
		default:
			broken(fmt.Errorf("%s ended by itself (%s):\n%s", s.Name, p.cmd.ProcessState, lastWords(s.log)))
		}
	}()
	return nil
}

// stop ends the process with SIGTERM or SIGKILL; without a process it does nothing.
func (s *subject) stop(signal syscall.Signal) {
	if s.current == nil {
		return
	}
	close(s.stopped)
	s.current.stop(signal, s.clock)
	state := s.current.cmd.ProcessState
	s.spent += state.UserTime() + state.SystemTime()
	s.current = nil
}

// cpu returns the CPU time that all its processes have used until now.
func (s *subject) cpu() (time.Duration, error) {
	if s.current == nil {
		return s.spent, nil
	}
	now, err := readCPU(s.current.cmd.Process.Pid)
	return s.spent + now, err
}

// memory returns what its process holds.
func (s *subject) memory() (memory, error) {
	return readMemory(s.current.cmd.Process.Pid)
}

// end stops the process at the end of a turn, however that came about.
func (s *subject) end() { s.stop(syscall.SIGTERM) }
