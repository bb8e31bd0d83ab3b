package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/localplane"
)

// nodes is how many fake nodes the plane has: so many pods has the DaemonSet.
const nodes = 2

// ground is what the story plays on: a plane, and the ways to look at it and to change it. It must be closed.
type ground struct {
	dir, kubeconfig string
	// client asks the server, watched is what the watches have brought.
	client  client.Client
	watched cache.Cache
	// changes has something to receive when the watches have brought something.
	changes chan struct{}
	// servers are the stores, in the order in which their settings are changed; only for the dialect live.
	servers []*server
	// unwatch ends the watches.
	unwatch func() error
	// closers end what was started, the last one first.
	closers []func(context.Context) error
}

// newGround starts a plane. When the plane ends by itself, broken is called with the reason.
func newGround(ctx context.Context, o Options, broken context.CancelCauseFunc) (_ *ground, err error) {
	g := &ground{changes: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close(ctx))
		}
	}()
	switch {
	case o.Live:
		// What is not installed is found out at once.
		if err = g.startStores(ctx, broken); err == nil {
			err = g.start(ctx, o, broken)
		}
	case o.Keep:
		err = g.startKept(ctx, o)
	default:
		err = g.start(ctx, o, broken)
	}
	if err != nil {
		return nil, err
	}
	g.kubeconfig = filepath.Join(g.dir, "kubeconfig")
	config, err := clientcmd.BuildConfigFromFlags("", g.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of the control plane: %w", err)
	}
	config.QPS = -1
	scheme := newScheme()
	if g.client, err = client.New(config, client.Options{Scheme: scheme, Mapper: newMapper()}); err != nil {
		return nil, fmt.Errorf("connect to the control plane: %w", err)
	}

	return g, g.watch(ctx, config)
}

// start starts a plane that ends with this process.
func (g *ground) start(ctx context.Context, o Options, broken context.CancelCauseFunc) error {
	dir, err := os.MkdirTemp("", "lockstep-demo-")
	if err != nil {
		return fmt.Errorf("make a directory for the control plane: %w", err)
	}
	g.dir = dir
	g.closers = append(g.closers, func(context.Context) error { return os.RemoveAll(dir) })
	// It has to outlive the manager, which has something to write when this is interrupted.
	plane, err := localplane.Start(context.WithoutCancel(ctx), localplane.Options{Dir: dir, Bin: o.Bin, Nodes: nodes})
	if err != nil {
		return err
	}
	g.closers = append(g.closers, plane.Stop)
	go func() {
		<-plane.Done()
		if err := plane.Err(); err != nil {
			broken(err)
		}
	}()

	return nil
}

// startStores starts store servers that end with this process. Their directory is not the plane's, which nobody but us can
// reach: PostgreSQL has a user of its own when we are root.
func (g *ground) startStores(ctx context.Context, broken context.CancelCauseFunc) error {
	dir, err := os.MkdirTemp("", "lockstep-demo-")
	if err != nil {
		return fmt.Errorf("make a directory for the stores: %w", err)
	}
	g.closers = append(g.closers, func(context.Context) error { return os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // others may pass, they cannot look around
		return fmt.Errorf("make a directory for the stores: %w", err)
	}
	if g.servers, err = startServers(ctx, dir); err != nil {
		return err
	}
	for _, s := range g.servers {
		g.closers = append(g.closers, s.stop)
		go func() {
			<-s.Done()
			broken(fmt.Errorf("%s ended by itself: %w", s.kind, s.Err()))
		}()
	}

	return nil
}

// startKept starts a plane that outlives this process.
func (g *ground) startKept(ctx context.Context, o Options) error {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return fmt.Errorf("find the directory %s: %w", o.Dir, err)
	}
	g.dir = dir
	if err := detach(ctx, o); err != nil {
		return err
	}
	g.closers = append(g.closers, func(ctx context.Context) error { return localplane.Down(ctx, dir) })

	return nil
}

// watch begins to watch the application, and what tells of the manager.
func (g *ground) watch(ctx context.Context, config *rest.Config) error {
	system := map[string]cache.Config{systemNamespace: {}}
	c, err := cache.New(config, cache.Options{
		Scheme:            newScheme(),
		Mapper:            newMapper(),
		DefaultNamespaces: map[string]cache.Config{namespace: {}},
		ByObject: map[client.Object]cache.ByObject{
			&coordinationv1.Lease{}: {Namespaces: system},
			&corev1.ConfigMap{}:     {Namespaces: system},
		},
	})
	if err != nil {
		return fmt.Errorf("watch the control plane: %w", err)
	}
	g.watched = c
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- c.Start(watching) }()
	g.unwatch = func() error {
		stop()

		return <-ended
	}
	g.closers = append(g.closers, func(context.Context) error { return g.unwatch() })

	return g.observe(ctx, &appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{}, &batchv1.CronJob{},
		&batchv1.Job{}, &corev1.Pod{}, &coordinationv1.Lease{}, &corev1.ConfigMap{})
}

// observe watches more kinds.
func (g *ground) observe(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		informer, err := g.watched.GetInformer(ctx, object)
		if err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { g.changed() },
			UpdateFunc: func(_, _ any) { g.changed() },
			DeleteFunc: func(any) { g.changed() },
		})
		if err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
	}

	return nil
}

func (g *ground) changed() {
	select {
	case g.changes <- struct{}{}:
	default:
	}
}

// close ends everything that was started, also after the context has ended.
func (g *ground) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	var errs []error
	for len(g.closers) > 0 {
		last := len(g.closers) - 1
		errs = append(errs, g.closers[last](ctx))
		g.closers = g.closers[:last]
	}

	return errors.Join(errs...)
}

// freeAddress returns a loopback address on which nobody listens just now.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}

	return address, nil
}
