package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/localplane"
)

// patience is how long anything that is waited for may take.
const patience = 2 * time.Minute

// leaseName is the manager's Lease, recordLabel is on the ConfigMaps in which it records what the sources hold: from
// then on a change is carried whatever happens to the manager.
const (
	leaseName   = "lockstep"
	recordLabel = "lockstep.dev/record"
)

// Options say how the demonstration is given.
type Options struct {
	// Graph shows the dialect graph instead of the dialect reload, Live the dialect live. At most one of them.
	Graph, Live bool
	// Keep leaves the control plane and a manager running, in Dir. It does not go with Live: store servers end with who has
	// started them.
	Keep bool
	// Dir is where a kept control plane keeps its files; without Keep they are in a temporary directory.
	Dir string
	// Bin is the folder of the control plane's binaries, as [localplane.FindBinaries] takes it.
	Bin string
	// Executable is the path of the lockstep command, Env the environment that it is run in. Required.
	Executable string
	Env        []string
	// Out is where the story is told. Required.
	Out io.Writer
	// Terminal returns the size of the terminal that Out is, in characters, and false when it is none. Nil for none.
	Terminal func() (width, height int, ok bool)
	// Clock is required.
	Clock clock.Clock
}

// Kept is what was left running.
type Kept struct {
	// Dir is the directory of the control plane, to end it by; Kubeconfig, Log and Kubectl are paths. Kubectl is
	// not sure to be there.
	Dir, Kubeconfig, Log, Kubectl string
	// PID is the manager's. It ends by itself some seconds after its control plane.
	PID int
	// Metrics is the URL of the manager's metrics.
	Metrics string
	// Namespace, Secret and Key name what was rotated. Kinds are what is worth looking at, as kubectl takes it.
	Namespace, Secret, Key, Kinds string
}

// story is the demonstration while it is given.
type story struct {
	Options

	*ground

	members []member
	screen  *screen
	metrics string
	// broken ends the story when a process ends that should not.
	broken context.CancelCauseFunc
	// manager is nil while none runs.
	manager *process
}

// Run gives the demonstration. It succeeds when, each time, everything that depends on what changed has moved, once,
// and nothing else has; otherwise the error names what did not. Nothing is left running, also when the context ends,
// unless Keep asks for it: then what was left is returned, with or without an error.
func Run(ctx context.Context, o Options) (*Kept, error) {
	if o.Terminal == nil {
		o.Terminal = func() (int, int, bool) { return 0, 0, false }
	}
	telling, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	s := &story{
		Options: o, members: application(), broken: broken, screen: &screen{out: o.Out, size: o.Terminal},
	}
	if o.Graph {
		s.members = instances()
	}
	begun := o.Clock.Now()
	var err error
	if s.ground, err = newGround(telling, o, broken); err != nil {
		return nil, err
	}
	s.took(s.ready(), begun)
	if err = s.tell(telling); err == nil && o.Keep {
		err = s.start(telling)
	}
	if ctx.Err() != nil {
		return nil, errors.Join(fmt.Errorf("interrupted: %w", context.Cause(ctx)), s.end(ctx))
	}
	if o.Keep {
		return s.kept(), errors.Join(err, s.unwatch())
	}

	return nil, errors.Join(err, s.end(ctx))
}

// kept is what is left to be used.
func (s *story) kept() *Kept {
	k := &Kept{
		Dir: s.dir, Kubeconfig: s.kubeconfig, Log: s.log(), Metrics: "http://" + s.metrics + "/metrics",
		Namespace: namespace, Secret: secretName, Key: secretKey, Kinds: workloadKinds,
	}
	if s.Graph {
		k.Secret, k.Kinds = credentials, graphKinds
	}
	if s.manager != nil {
		k.PID = s.manager.cmd.Process.Pid
	}
	if bin, err := localplane.FindBinaries(s.Bin); err == nil {
		k.Kubectl = filepath.Join(bin, "kubectl")
	}

	return k
}

// end stops what runs.
func (s *story) end(ctx context.Context) error {
	var err error
	if s.manager != nil {
		err = s.manager.stop()
	}

	return errors.Join(err, s.close(ctx))
}

// dialect is what the story is about.
func (s *story) dialect() string {
	switch {
	case s.Graph:
		return "graph"
	case s.Live:
		return "live"
	default:
		return "reload"
	}
}

// ready says what runs.
func (o Options) ready() string {
	if o.Live {
		return "Three store servers and the control plane are ready"
	}

	return "The control plane is ready"
}

// tell tells the chapters.
func (s *story) tell(ctx context.Context) error {
	if s.Live {
		return s.tellLive(ctx)
	}
	chapters := []func(context.Context) error{s.prepare, s.live, s.missed, s.quiet}
	if s.Graph {
		chapters = []func(context.Context) error{s.define, s.rotation, s.late}
	}
	for _, chapter := range chapters {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	s.screen.sayf("\nEvery change has arrived everywhere that it had to, and nowhere else.")

	return nil
}

// prepare applies the application and waits until all its pods are Ready.
func (s *story) prepare(ctx context.Context) error {
	begun := s.Clock.Now()
	objects := surroundings()
	for _, m := range s.members {
		objects = append(objects, m.object)
	}
	for _, object := range objects {
		if err := s.client.Create(ctx, object); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("create %T %s: %w", object, object.GetName(), err)
		}
	}

	return s.settle(ctx, begun)
}

// settle waits until all pods of the application are Ready, and tells what it is.
func (s *story) settle(ctx context.Context, begun time.Time) error {
	err := s.until(ctx, "the pods of the application are Ready", func(w world) bool {
		for _, m := range s.members {
			if o := w[m.name]; o == nil || !o.settled() {
				return false
			}
		}

		return true
	})
	if err != nil {
		return err
	}
	s.took("The application is ready", begun)
	rows := [][]string{{"WORKLOAD", "READS"}}
	for _, m := range s.members {
		rows = append(rows, []string{m.String(), m.how})
	}
	s.screen.sayf("\n%s\n", strings.Join(columns(rows), "\n"))

	return nil
}

// live changes the Secret while the manager watches.
func (s *story) live(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	t, changed, err := s.rotate(ctx)
	if err != nil {
		return err
	}
	s.screen.sayf("\n1. %s is rotated\n", theSecret)

	return s.follow(ctx, t, changed)
}

// missed changes the Secret while no manager runs.
func (s *story) missed(ctx context.Context) error {
	t, changed, err := s.rotate(ctx)
	if err != nil {
		return err
	}
	s.screen.sayf("\n2. %s is rotated while no manager runs; then one is started\n", theSecret)
	if err := s.launch(ctx); err != nil {
		return err
	}

	return s.follow(ctx, t, changed)
}

// quiet starts the manager with nothing to do, and then changes what others read.
func (s *story) quiet(ctx context.Context) error {
	s.screen.sayf("")
	if err := s.start(ctx); err != nil {
		return err
	}
	t, changed, err := s.change(ctx, theConfig, &corev1.ConfigMap{}, configName, map[string]any{
		"data": map[string]string{configKey: "debug"},
	})
	if err != nil {
		return err
	}
	s.screen.sayf("\n3. The manager is restarted with nothing to do; then only %s changes\n", theConfig)

	return s.follow(ctx, t, changed)
}

// rotate gives the Secret a new password, which nobody is shown.
func (s *story) rotate(ctx context.Context) (table, time.Time, error) {
	return s.change(ctx, theSecret, &corev1.Secret{}, secretName, map[string]any{
		"stringData": map[string]string{secretKey: rand.Text()},
	})
}

// change patches a source. It returns the workloads as they were before, and when it was.
func (s *story) change(
	ctx context.Context, what source, object client.Object, name string, patch map[string]any,
) (table, time.Time, error) {
	before, err := look(ctx, s.watched)
	if err != nil {
		return nil, time.Time{}, err
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("encode the change of %s: %w", what, err)
	}
	object.SetNamespace(namespace)
	object.SetName(name)
	changed := s.Clock.Now()
	if err := s.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, body)); err != nil {
		return nil, time.Time{}, fmt.Errorf("change %s: %w", what, err)
	}

	return newTable(s.members, what, before), changed, nil
}

// follow shows the table until everything that has to move has moved. Then it stops the manager, which first does
// whatever it still had to do, and asks the server whether something else has moved too.
func (s *story) follow(ctx context.Context, t table, changed time.Time) error {
	s.screen.show(t, nil, 0)
	err := s.until(ctx, "everything that depends on the change has moved", func(w world) bool {
		since := s.Clock.Since(changed)
		s.screen.show(t, t.observe(s.members, w, since), since)

		return t.done()
	})
	s.screen.settle(t)
	if err != nil {
		return errors.Join(err, problem(t))
	}
	drained := s.Clock.Now()
	if err := s.stop(ctx); err != nil {
		return err
	}
	took := s.Clock.Since(drained)
	now, err := look(ctx, s.client)
	if err != nil {
		return err
	}
	t.observe(s.members, now, s.Clock.Since(changed))
	if err := problem(t); err != nil {
		return err
	}
	dependents, bystanders := t.count()
	s.screen.sayf("\n  %d moved within %s, each of them once; %d untouched. The manager drained and gave its Lease back in %s.",
		dependents, elapsed(t.last()), bystanders, elapsed(took))

	return nil
}

// problem is an error with all that is wrong, nil when nothing is.
func problem(t table) error {
	if problems := t.problems(); len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}

	return nil
}

// start starts the manager and waits until it leads and, in the dialect reload, has recorded what the sources hold.
func (s *story) start(ctx context.Context) error {
	begun := s.Clock.Now()
	if err := s.launch(ctx); err != nil {
		return err
	}
	err := s.when(ctx, "the manager is ready", func() (bool, error) {
		var records corev1.ConfigMapList
		if err := s.watched.List(ctx, &records, client.HasLabels{recordLabel}); err != nil {
			return false, fmt.Errorf("list the manager's records: %w", err)
		}
		leads, err := s.held(ctx)

		return leads && (s.Graph || s.Live || len(records.Items) > 0), err
	})
	if err != nil {
		return err
	}
	s.took("The manager is ready", begun)

	return nil
}

// launch starts the manager.
func (s *story) launch(ctx context.Context) error {
	var err error
	if s.metrics == "" {
		if s.metrics, err = freeAddress(ctx); err != nil {
			return err
		}
	}
	env := slices.Concat(s.Env, []string{"KUBECONFIG=" + s.kubeconfig})
	// With a Lease it shows how it hands over, and ends by itself should it ever be left without a control plane.
	s.manager, err = startProcess(ctx, s.log(), env, s.Executable, "manager", "--dialects="+s.dialect(), "--leader-elect",
		"--namespace="+systemNamespace, "--metrics-bind-address="+s.metrics)
	if err != nil {
		return err
	}
	go func(p *process) {
		if p.endedByItself() {
			s.broken(p.lastWords("the manager ended by itself"))
		}
	}(s.manager)

	return nil
}

func (s *story) log() string { return filepath.Join(s.dir, "manager.log") }

// stop stops the manager and waits until its Lease is free.
func (s *story) stop(ctx context.Context) error {
	p := s.manager
	s.manager = nil
	if err := p.stop(); err != nil {
		return err
	}

	return s.when(ctx, "the manager has given its Lease back", func() (bool, error) {
		leads, err := s.held(ctx)

		return !leads, err
	})
}

// held tells whether somebody holds the manager's Lease.
func (s *story) held(ctx context.Context) (bool, error) {
	lease := &coordinationv1.Lease{}
	err := s.watched.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: leaseName}, lease)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read the manager's Lease: %w", err)
	}
	holder := lease.Spec.HolderIdentity

	return err == nil && holder != nil && *holder != "", nil
}

// until looks at the application whenever something has changed, until the condition holds.
func (s *story) until(ctx context.Context, what string, holds func(world) bool) error {
	return s.when(ctx, what, func() (bool, error) {
		w, err := look(ctx, s.watched)

		return err == nil && holds(w), err
	})
}

// when asks whenever the watches have brought something, until the condition holds.
func (s *story) when(ctx context.Context, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s: not after %s", what, patience))
	defer cancel()
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		select {
		case <-s.changes:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *story) took(what string, since time.Time) {
	s.screen.sayf("%s (%s).", what, elapsed(s.Clock.Since(since)))
}
