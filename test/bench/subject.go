package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	system "github.com/lockstep-dev/lockstep/internal/process"
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
	dialectLive   dialect = "live"
)

// metricsWord stands in a command line for the address at which the benchmark reads the controller's metrics.
const metricsWord = "{metrics}"

// against tells which dialect the other controller serves: it is measured in scenes of that one only.
func (o options) against() dialect {
	switch o.Scene {
	case sceneGraph:
		return dialectGraph
	case sceneLive:
		return dialectLive
	}
	return dialectReload
}

// arguments are those of the binary when it is given without any.
func (d dialect) arguments() []string {
	const flag, anywhere = "--metrics-bind-address=", "127.0.0.1:0"
	const namespace = "--namespace=" + systemNamespace
	switch d {
	case dialectGraph:
		return []string{"graph-controller", flag + anywhere, "--health-probe-bind-address=" + anywhere}
	case dialectLive:
		return []string{"manager", "--dialects=live", flag + metricsWord, namespace}
	case dialectReload:
	}
	return []string{"manager", "--dialects=reload", flag + anywhere, namespace}
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
	// metrics is the address at which its metrics are read; empty when its command line has no place for one.
	metrics string
	// release gives its port back.
	release func()

	current *process
	// spent is the CPU time of its processes that have ended.
	spent time.Duration
	// stopped is closed when the current process was asked to end.
	stopped chan struct{}
}

// start starts the process. When it ends without being asked to, broken is called with the reason.
func (s *subject) start(broken context.CancelCauseFunc) error {
	p, err := startProcess(s.command(), append(os.Environ(), "KUBECONFIG="+s.kubeconfig), s.log)
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

// reserve chooses the address of the metrics, which is the same after a restart.
func (s *subject) reserve() error {
	if !slices.ContainsFunc(s.Argv, func(word string) bool { return strings.Contains(word, metricsWord) }) {
		return nil
	}
	port, release, err := system.ReservePort()
	if err != nil {
		return fmt.Errorf("choose the address of the metrics of %s: %w", s.Name, err)
	}
	s.metrics, s.release = net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), release
	return nil
}

// command is the command line with the address of the metrics.
func (s *subject) command() []string {
	argv := slices.Clone(s.Argv)
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], metricsWord, s.metrics)
	}
	return argv
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
