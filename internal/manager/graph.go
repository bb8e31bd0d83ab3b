package manager

import (
	"fmt"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/apply"
	"github.com/lockstep-dev/lockstep/internal/configuration"
	graphcontroller "github.com/lockstep-dev/lockstep/internal/controller/graph"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// addGraph adds the graph dialect to the manager.
func addGraph(m ctrl.Manager, o options) error {
	measures, err := telemetry.NewGraph(metrics.Registry)
	if err != nil {
		return err
	}

	asked, err := discovery.NewDiscoveryClientForConfig(o.config)
	if err != nil {
		return fmt.Errorf("connect for discovery: %w", err)
	}

	anyKind, err := dynamic.NewForConfig(o.config)
	if err != nil {
		return fmt.Errorf("connect for any kind: %w", err)
	}

	objects, err := apply.NewObjects(o.config)
	if err != nil {
		return err
	}

	settings, err := graphSettings(o.configuration.Graph)
	if err != nil {
		return err
	}

	controller := graphcontroller.New(graphcontroller.Options{
		Client: o.client, Dynamic: anyKind, Discovery: asked, Objects: objects,
		Events: m.GetEventRecorder("lockstep"), Metrics: measures, Clock: clock.RealClock{}, Log: o.log.WithName("graph"),
		Settings: settings,
	})
	if err := m.Add(controller); err != nil {
		return fmt.Errorf("add the controller: %w", err)
	}

	return nil
}

// graphSettings are the configuration as the controller takes it. The configuration is complete and valid.
func graphSettings(g configv1alpha1.GraphConfiguration) (graphcontroller.Settings, error) {
	s := graphcontroller.Settings{
		Graph: graph.Options{
			MaxCollectionSize: g.Collections.MaxSize, MaxDimensions: g.Collections.MaxDimensions,
			CostLimit: g.CEL.Expression, PassCostLimit: g.CEL.Pass, Omit: g.OmitFunction,
		},
		Workers: g.Workers, DefinitionWorkers: g.DefinitionWorkers, Writes: g.Writes,
		MaxRevisions: g.MaxRevisions, FirstRetry: g.Retry.MinDelay.Duration, LastRetry: g.Retry.MaxDelay.Duration,
		AdoptAlways: g.Adopt == configv1alpha1.AdoptAlways, DeleteKinds: g.DeleteKinds,
		Deletion: graphcontroller.Deletion(g.DefinitionDeletion),
	}

	if len(g.DefinitionSelector) > 0 {
		var err error
		if s.Definitions, err = configuration.Selector(g.DefinitionSelector); err != nil {
			return s, fmt.Errorf("read graph.definitionSelector: %w", err)
		}
	}

	return s, nil
}
