package localplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/lockstep-dev/lockstep/internal/process"
)

// startLimit bounds a start. It takes about three seconds; a machine that compiles at the same time needs more.
const startLimit = 3 * time.Minute

// errStopped ends the life of a plane that was asked to stop.
var errStopped = errors.New("the plane was stopped")

// Options says what plane to start.
type Options struct {
	// Dir is the plane's directory: kubeconfig, certificates, logs, state and data. It is created when missing, and
	// only its owner may enter it. Required.
	Dir string
	// Bin is the folder of the binaries, as [FindBinaries] takes it.
	Bin string
	// Nodes is the number of fake nodes. With none, no pod is ever scheduled.
	Nodes int
	// Keep keeps the data for the next start with Keep in the same directory, and writes it durably. Without it
	// each start begins empty and nothing is left. The two never share data.
	Keep bool
	// APIServerArgs are further arguments of the API server, which win over ours. Relative paths are relative to Dir.
	APIServerArgs []string
	// Clock is the real clock when nil.
	Clock clock.Clock
}

// Plane is a running control plane. Its methods may be called from any goroutine.
type Plane struct {
	options  Options
	dir      string
	bin      string
	data     string // relative to dir
	config   *rest.Config
	launcher *process.Launcher
	children []*process.Child
	state    State
	lock     *os.File
	release  func() // gives the reserved port back
	fail     context.CancelCauseFunc
	done     chan struct{}
	err      error // set before done is closed
	leftover error // set before done is closed
}

// Start starts a control plane and returns when it is of use: the API server is ready, the fake nodes are Ready and
// pods can be created. The plane stops when ctx ends, when [Plane.Stop] is called, when one of its components ends,
// and when this process ends in whatever way. The error is [ErrRunning] when a plane runs in the directory, a
// [*MissingBinariesError] when there are no binaries; it names the component and its last words when one failed.
// When it returns an error nothing is left running.
func Start(ctx context.Context, o Options) (*Plane, error) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	bin, err := FindBinaries(o.Bin)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the directory %s: %w", o.Dir, err)
	}
	p := &Plane{options: o, dir: dir, bin: bin, data: scratchDir, done: make(chan struct{}), release: func() {}}
	if o.Keep {
		p.data = keptDir
	}
	if err := p.claim(ctx); err != nil {
		return nil, err
	}
	run, fail := context.WithCancelCause(ctx)
	p.fail = fail
	p.launcher = process.NewLauncher()
	if err := p.launch(run); err != nil {
		// A component that ended is the reason; that the API server did not answer is what followed from it.
		if cause, ok := errors.AsType[*process.ExitError](context.Cause(run)); ok {
			err = cause
		}
		fail(errStopped)
		p.shutdown()

		return nil, errors.Join(fmt.Errorf("start the control plane in %s: %w", dir, err), p.leftover)
	}
	go func() {
		<-run.Done()
		if cause, ok := errors.AsType[*process.ExitError](context.Cause(run)); ok {
			p.err = cause
		}
		p.shutdown()
	}()

	return p, nil
}

// Dir returns the absolute path of the plane's directory.
func (p *Plane) Dir() string { return p.dir }

// Kubeconfig returns the path of the administrator's kubeconfig, which only its owner may read.
func (p *Plane) Kubeconfig() string { return filepath.Join(p.dir, kubeconfigFile) }

// RESTConfig returns a configuration of the administrator for clients, without a limit on their side. It is the
// caller's own copy.
func (p *Plane) RESTConfig() *rest.Config { return rest.CopyConfig(p.config) }

// Processes returns the processes of the components, in the order in which they were started.
func (p *Plane) Processes() []Process { return append([]Process(nil), p.state.Components...) }

// Done returns a channel that is closed when the plane has stopped and none of its processes is left.
func (p *Plane) Done() <-chan struct{} { return p.done }

// Err returns which component ended by itself, with the last lines of its log; nil while the plane runs, and when it
// was stopped on purpose.
func (p *Plane) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stop ends the plane and returns when none of its processes is left, or with an error when ctx ends before or when
// something could not be cleaned up. It may be called again.
func (p *Plane) Stop(ctx context.Context) error {
	p.fail(errStopped)
	select {
	case <-p.done:
		return p.leftover
	case <-ctx.Done():
		return fmt.Errorf("stop the plane in %s: %w", p.dir, ctx.Err())
	}
}

// claim makes the directory ours, ends what a supervisor that died may have left in it, and empties it of the last
// throw-away plane's data.
func (p *Plane) claim(ctx context.Context) (err error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the plane: %w", err)
	}
	lock, free, err := lockFile(filepath.Join(p.dir, lockName))
	if err != nil {
		return err
	}
	if !free {
		if other, err := Inspect(p.dir); err == nil {
			return fmt.Errorf("%w in %s, as process %d", ErrRunning, p.dir, other.Supervisor.PID)
		}

		return fmt.Errorf("%w in %s", ErrRunning, p.dir)
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	if before, err := Inspect(p.dir); err == nil {
		if err := before.sweep(ctx); err != nil {
			return fmt.Errorf("end the last plane in %s: %w", p.dir, err)
		}
	}
	// The directory may have been made by somebody with a wider mode; the sockets in it rely on this one.
	if err := os.Chmod(p.dir, 0o700); err != nil { //nolint:gosec // a directory needs the x bit
		return fmt.Errorf("close the directory of the plane to others: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(p.dir, scratchDir)); err != nil {
		return fmt.Errorf("empty the directory of the plane: %w", err)
	}
	for _, sub := range []string{logsDir, pkiDir, p.data} {
		if err := os.MkdirAll(filepath.Join(p.dir, sub), 0o700); err != nil {
			return fmt.Errorf("make the directory of the plane: %w", err)
		}
	}
	p.lock = lock

	return nil
}

// launch starts the components and waits until they are of use. What it started is ended by shutdown, also after an
// error.
func (p *Plane) launch(run context.Context) error {
	ctx, cancel := context.WithTimeoutCause(run, startLimit, fmt.Errorf("not ready after %s", startLimit))
	defer cancel()
	port, release, err := process.ReservePort()
	if err != nil {
		return err
	}
	p.release = release
	server := fmt.Sprintf("https://127.0.0.1:%d", port)
	pid := os.Getpid()
	started, _ := process.Started(pid)
	p.state = State{
		Supervisor: Process{Name: "supervisor", PID: pid, Started: started}, Server: server, Keep: p.options.Keep,
	}
	if err := p.writeFiles(server); err != nil {
		return err
	}
	if err := p.run(etcd, etcdArgs(p.data, p.options.Keep)); err != nil {
		return err
	}
	if err := p.run(apiServer, apiServerArgs(p.data, port, p.options.APIServerArgs)); err != nil {
		return err
	}
	if err := awaitServer(ctx, p.config, p.options.Clock); err != nil {
		return err
	}
	// Earlier they would find no server, and wait a second or more before they try again.
	if err := p.run(controllerManager, controllerManagerArgs(p.data)); err != nil {
		return err
	}
	if err := p.run(scheduler, schedulerArgs()); err != nil {
		return err
	}
	if err := p.run(kwok, kwokArgs()); err != nil {
		return err
	}

	return settle(ctx, p.config, p.options.Nodes)
}

// run starts one component and records it, so that it can be found whatever happens next.
func (p *Plane) run(name string, args []string) error {
	c, err := p.launcher.Start(process.Command{
		Path: filepath.Join(p.bin, name), Args: args, Dir: p.dir, Log: filepath.Join(p.dir, logsDir, name+".log"),
		OnExit: func(e *process.ExitError) { p.fail(e) },
	})
	if err != nil {
		return err
	}
	p.children = append(p.children, c)
	p.state.Components = append(p.state.Components, Process{Name: name, PID: c.PID(), Started: c.StartedAt()})

	return p.state.write(p.dir)
}

// writeFiles makes the certificates, the kubeconfigs and the other files that the components read.
func (p *Plane) writeFiles(server string) error {
	ca, err := newAuthority(p.options.Clock.Now())
	if err != nil {
		return err
	}
	serving, err := ca.server()
	if err != nil {
		return err
	}
	files := map[string][]byte{
		caFile: ca.pem, serverCertFile: serving.cert, serverKeyFile: serving.key, stagesFile: stages,
	}
	for name, content := range files {
		if err := writePrivate(filepath.Join(p.dir, name), content); err != nil {
			return err
		}
	}
	if err := p.ensureServiceAccountKey(); err != nil {
		return err
	}
	masters := []string{"system:masters"}
	identities := map[string]identity{
		kubeconfigFile: {user: "lockstep-local-admin", groups: masters},
		pkiDir + "/" + controllerManager + ".kubeconfig": {user: "system:kube-controller-manager"},
		pkiDir + "/" + scheduler + ".kubeconfig":         {user: "system:kube-scheduler"},
		pkiDir + "/" + kwok + ".kubeconfig":              {user: "kwok", groups: masters},
	}
	for name, id := range identities {
		user, err := ca.client(id)
		if err != nil {
			return err
		}
		if err := writeKubeconfig(filepath.Join(p.dir, name), server, ca.pem, user); err != nil {
			return err
		}
		if name == kubeconfigFile {
			p.config = restConfig(server, ca.pem, user)
		}
	}

	return nil
}

// ensureServiceAccountKey keeps the key of a kept plane: tokens in its data are signed with it.
func (p *Plane) ensureServiceAccountKey() error {
	path := filepath.Join(p.dir, p.data, saKeyFile)
	_, err := os.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err //nolint:wrapcheck // names the file already
	}
	key, err := serviceAccountKey()
	if err != nil {
		return err
	}

	return writePrivate(path, key)
}

// shutdown ends the components, cleans up, and closes done. Data that is thrown away needs no good end; that which
// is kept is closed by etcd itself after its clients have gone.
func (p *Plane) shutdown() {
	defer close(p.done)
	var all sync.WaitGroup
	for _, c := range p.children {
		if p.options.Keep && c.Name() == etcd {
			continue
		}
		all.Go(func() { c.Stop(syscall.SIGKILL, stopGrace, p.options.Clock) })
	}
	all.Wait()
	for _, c := range p.children {
		c.Stop(syscall.SIGTERM, stopGrace, p.options.Clock)
	}
	p.launcher.Close()
	p.release()
	var errs []error
	for _, name := range []string{scratchDir, pkiDir, etcdSocket, peerSocket, stagesFile, kubeconfigFile, stateFile} {
		errs = append(errs, removeAll(filepath.Join(p.dir, name)))
	}
	p.leftover = errors.Join(append(errs, p.lock.Close())...)
}

func removeAll(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("clean up after the plane: %w", err)
	}

	return nil
}

// writePrivate writes a file that only its owner may read, also when it was there with a wider mode.
func writePrivate(path string, content []byte) error {
	if err := removeAll(path); err != nil {
		return err
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}

	return nil
}
