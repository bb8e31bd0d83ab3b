package manager

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	revisionv1alpha1 "github.com/lockstep-dev/lockstep/api/kro/revision/v1alpha1"
	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// drainTime is what the controllers get to finish after the signal to stop.
const drainTime = 15 * time.Second

// Run runs the dialects that are switched on until the context ends. The configuration is complete and valid. With
// leader election it waits to lead first, and gives the lease back at the end; losing the lease is an error.
func Run(
	ctx context.Context, cluster *rest.Config, configuration *configv1alpha1.LockstepConfiguration, log logr.Logger,
) error {
	o := options{config: rest.CopyConfig(cluster), configuration: configuration, log: log}
	// The server's own priority and fairness is the throttle.
	o.config.QPS = -1
	o.config.UserAgent = "lockstep"

	ctrl.SetLogger(log)
	klog.SetLogger(log)
	collectOften()
	telemetry.MeasureClients()

	var err error
	if o.client, err = client.NewWithWatch(o.config, client.Options{Scheme: scheme()}); err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}

	m, err := newManager(o)
	if err != nil {
		return err
	}

	var sinks []sink

	if slices.Contains(configuration.Dialects, configv1alpha1.DialectReload) {
		if sinks, err = addReload(ctx, m, o); err != nil {
			return fmt.Errorf("start the reload dialect: %w", err)
		}
	}

	if slices.Contains(configuration.Dialects, configv1alpha1.DialectGraph) {
		if err := addGraph(m, o); err != nil {
			return fmt.Errorf("start the graph dialect: %w", err)
		}
	}

	if slices.Contains(configuration.Dialects, configv1alpha1.DialectLive) {
		if err := addLive(m, o); err != nil {
			return fmt.Errorf("start the live dialect: %w", err)
		}
	}

	return start(ctx, m, sinks)
}

// gcPercent trades some processor time for memory: most of what is allocated here is an object on its way to its
// digest.
const (
	gcPercent        = 50
	defaultGCPercent = 100
)

// collectOften makes the collector run at half the default growth, unless the environment (GOGC) says otherwise.
func collectOften() {
	if asked := debug.SetGCPercent(gcPercent); asked != defaultGCPercent {
		debug.SetGCPercent(asked)
	}
}

// start runs the manager, and the sinks for as long as it has something to tell.
func start(ctx context.Context, m ctrl.Manager, sinks []sink) error {
	telling, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	var group errgroup.Group
	for _, s := range sinks {
		group.Go(func() error { return s.Start(telling) })
	}

	err := m.Start(ctx)

	stop()

	if err := errors.Join(err, group.Wait()); err != nil {
		return fmt.Errorf("run: %w", err)
	}

	return nil
}

// options are what every dialect is started with.
type options struct {
	config        *rest.Config
	client        client.WithWatch
	configuration *configv1alpha1.LockstepConfiguration
	log           logr.Logger
}

func newManager(o options) (ctrl.Manager, error) {
	elect := o.configuration.LeaderElection

	settings := ctrl.Options{
		Scheme: scheme(),
		Logger: o.log,
		Metrics: metricsserver.Options{
			BindAddress:   o.configuration.Metrics.BindAddress,
			ExtraHandlers: map[string]http.Handler{"/live": http.HandlerFunc(alive)},
		},
		HealthProbeBindAddress:  o.configuration.Health.BindAddress,
		GracefulShutdownTimeout: new(drainTime),
	}
	if o.configuration.Pprof.Enabled {
		settings.PprofBindAddress = o.configuration.Pprof.BindAddress
	}

	if elect.Enabled {
		lock, err := lease(o)
		if err != nil {
			return nil, err
		}

		settings.LeaderElection = true
		settings.LeaderElectionReleaseOnCancel = true
		settings.LeaderElectionResourceLockInterface = lock
		settings.LeaseDuration = &elect.LeaseDuration.Duration
		settings.RenewDeadline = &elect.RenewDeadline.Duration
		settings.RetryPeriod = &elect.RetryPeriod.Duration
	}

	m, err := ctrl.NewManager(o.config, settings)
	if err != nil {
		return nil, fmt.Errorf("make the manager: %w", err)
	}

	if err := errors.Join(m.AddHealthzCheck("ping", healthz.Ping), m.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return nil, fmt.Errorf("add the health probes: %w", err)
	}

	return m, nil
}

// alive answers the liveness probe. A manager that lost its lease ends, and no longer answers.
func alive(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("alive"))
}

// lease is the lock by which one of several managers leads.
func lease(o options) (resourcelock.Interface, error) {
	elect := o.configuration.LeaderElection

	patient := rest.AddUserAgent(rest.CopyConfig(o.config), "leader-election")
	// One hung request must not cost the lease: half of the time leaves room for another.
	patient.Timeout = elect.RenewDeadline.Duration / 2

	c, err := coordinationv1client.NewForConfig(patient)
	if err != nil {
		return nil, fmt.Errorf("connect for leader election: %w", err)
	}

	identity := elect.Identity
	if identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("name this manager for leader election: %w", err)
		}

		// Two managers on one host are two.
		identity = host + "_" + string(uuid.NewUUID())
	}

	return &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: o.configuration.Namespace, Name: elect.LeaseName},
		Client:     c,
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}, nil
}

// scheme knows only the types that are used, since each costs memory.
func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	// These cannot fail: the types are compiled in.
	_ = errors.Join(
		corev1.AddToScheme(s), appsv1.AddToScheme(s), batchv1.AddToScheme(s), authorizationv1.AddToScheme(s),
		metav1.AddMetaToScheme(s), apiextensionsv1.AddToScheme(s),
		discoveryv1.AddToScheme(s), krov1alpha1.AddToScheme(s), revisionv1alpha1.AddToScheme(s), lockstepv1alpha1.AddToScheme(s),
	)

	return s
}
