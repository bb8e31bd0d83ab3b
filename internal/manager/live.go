package manager

import (
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/apply"
	livecontroller "github.com/lockstep-dev/lockstep/internal/controller/live"
	rookcontroller "github.com/lockstep-dev/lockstep/internal/controller/rook"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/target/store/ceph"
	"github.com/lockstep-dev/lockstep/internal/target/store/etcd"
	"github.com/lockstep-dev/lockstep/internal/target/store/httpconfig"
	"github.com/lockstep-dev/lockstep/internal/target/store/mysql"
	"github.com/lockstep-dev/lockstep/internal/target/store/postgres"
	"github.com/lockstep-dev/lockstep/internal/target/store/redis"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// addLive adds the live dialect to the manager, and what makes it serve Rook's objects where that is asked for.
func addLive(m ctrl.Manager, o options) error {
	measures, err := telemetry.NewLive(metrics.Registry)
	if err != nil {
		return err
	}

	settings := o.configuration.Live

	controller := livecontroller.New(livecontroller.Options{
		Client: o.client, Drivers: drivers(), Events: m.GetEventRecorder("lockstep"), Metrics: measures, Clock: clock.RealClock{},
		Log: o.log.WithName("live"), Namespace: o.configuration.Namespace,
		Settings: livecontroller.Settings{
			Workers: settings.Workers, StoreConcurrency: settings.StoreConcurrency,
			FirstRetry: settings.Retry.MinDelay.Duration, LastRetry: settings.Retry.MaxDelay.Duration,
		},
	})
	if err := m.Add(controller); err != nil {
		return fmt.Errorf("add the controller: %w", err)
	}

	if settings.Rook != configv1alpha1.SwitchOn {
		return nil
	}

	return addRook(m, o)
}

// rookWorkers is how many namespaces with Rook's objects are looked at in parallel: few have any.
const rookWorkers = 4

// addRook makes LiveStores and LiveConfigs of Rook's objects.
func addRook(m ctrl.Manager, o options) error {
	anyKind, err := dynamic.NewForConfig(o.config)
	if err != nil {
		return fmt.Errorf("connect for any kind: %w", err)
	}

	objects, err := apply.NewObjects(o.config)
	if err != nil {
		return err
	}

	retry := o.configuration.Live.Retry

	controller := rookcontroller.New(rookcontroller.Options{
		Client: o.client, Dynamic: anyKind, Objects: objects, Events: m.GetEventRecorder("lockstep"), Clock: clock.RealClock{},
		Log:      o.log.WithName("rook"),
		Settings: rookcontroller.Settings{Workers: rookWorkers, FirstRetry: retry.MinDelay.Duration, LastRetry: retry.MaxDelay.Duration},
	})
	if err := m.Add(controller); err != nil {
		return fmt.Errorf("add the controller of Rook's objects: %w", err)
	}

	return nil
}

// drivers are those of all types of stores.
func drivers() []store.Driver {
	return []store.Driver{
		ceph.Driver(clock.RealClock{}), etcd.Driver(), httpconfig.Driver(clock.RealClock{}), mysql.Driver(), postgres.Driver(),
		redis.Driver(),
	}
}
