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

// controllers returns Lockstep, and the other controller when there is one.
func (o options) controllers() ([]controller, error) {
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
		ours = append(ours, "manager", "--dialects=reload", "--metrics-bind-address=127.0.0.1:0",
			"--namespace="+systemNamespace)
	}
	all := []controller{{Name: "lockstep", Argv: ours}}
	if len(theirs) > 0 {
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
