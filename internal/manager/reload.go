package manager

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-logr/logr"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/apply"
	"github.com/lockstep-dev/lockstep/internal/configuration"
	reloadcontroller "github.com/lockstep-dev/lockstep/internal/controller/reload"
	"github.com/lockstep-dev/lockstep/internal/notify"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/reload"
	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

// fieldOwner is the one that existing installations of the reload annotations know.
const fieldOwner = "Reloader"

// sink sends what happened to a receiver until its context ends, and then what is still queued.
type sink interface {
	Start(ctx context.Context) error
}

// addReload adds the reload dialect to the manager. The sinks that it returns have to outlive the manager's
// controllers, which have something to tell until their end.
func addReload(ctx context.Context, m ctrl.Manager, o options) ([]sink, error) {
	log := o.log.WithName("reload")

	measures, err := telemetry.NewReload(metrics.Registry, telemetry.Options{CountByNamespace: o.configuration.Metrics.CountByNamespace})
	if err != nil {
		return nil, err
	}

	asked, err := discovery.NewDiscoveryClientForConfig(o.config)
	if err != nil {
		return nil, fmt.Errorf("connect for discovery: %w", err)
	}

	access := reloadcontroller.Access{Client: o.client, Discovery: asked}

	settings, err := settings(o.configuration.Reload, access)
	if err != nil {
		return nil, err
	}

	// Events are written until the process ends, also those of the last passes after the signal to stop.
	events := reloadcontroller.NewEvents(context.WithoutCancel(ctx), o.client, o.client.Scheme())
	reporter := &reloadcontroller.Reporter{Metrics: measures, Events: events, Log: log}

	sinks, err := newSinks(reporter, measures, o, log)
	if err != nil {
		return nil, err
	}

	controller := reloadcontroller.New(reloadcontroller.Options{
		Client: o.client, Writer: apply.NewWriter(o.client, fieldOwner), Access: access,
		Namespace: o.configuration.Namespace, Settings: settings, Clock: clock.RealClock{}, Log: log, Reporter: reporter,
	})
	if err := m.Add(controller); err != nil {
		return nil, fmt.Errorf("add the controller: %w", err)
	}

	if !o.configuration.Reload.MetaInfo.Enabled {
		return sinks, nil
	}

	if err := m.Add(metaInfo{o.client, o.configuration, log}); err != nil {
		return nil, fmt.Errorf("add the publication of settings: %w", err)
	}

	return sinks, nil
}

// newSinks makes the receivers of alerts and of webhook calls, and has the reporter tell them.
func newSinks(r *reloadcontroller.Reporter, measures *telemetry.Reload, o options, log logr.Logger) ([]sink, error) {
	var sinks []sink

	wire := notify.Options{HTTP: &http.Client{}, Clock: clock.RealClock{}, Log: log.WithName("notify"), Metrics: measures}

	if a := o.configuration.Reload.Alerts; a.Enabled && a.URL != "" {
		alerts, err := notify.NewAlerts(a, wire)
		if err != nil {
			return nil, fmt.Errorf("set alerts up: %w", err)
		}

		r.Alert = alerts.Reloaded
		sinks = append(sinks, alerts)
	}

	if w := o.configuration.Reload.Webhook; w.URL != "" {
		webhook, err := notify.NewWebhook(w, wire)
		if err != nil {
			return nil, fmt.Errorf("set the webhook up: %w", err)
		}

		r.Announce = webhook.Changed
		sinks = append(sinks, webhook)
	}

	return sinks, nil
}

// settings are the configuration as the controller takes it. The configuration is complete and valid.
func settings(r configv1alpha1.ReloadConfiguration, access reloadcontroller.Access) (reloadcontroller.Settings, error) {
	scope, err := scope(r, access)
	if err != nil {
		return reloadcontroller.Settings{}, err
	}

	s := reloadcontroller.Settings{
		Reload:       reload.Options{Keys: keys(r.Annotations), AutoReloadAll: r.AutoReloadAll},
		Strategy:     reload.Strategy(r.Strategy),
		OnCreate:     r.ReloadOnCreate,
		OnDelete:     r.ReloadOnDelete,
		SyncAtStart:  r.SyncAfterRestart,
		CarryMissed:  r.CarryMissed == nil || *r.CarryMissed,
		Scope:        scope,
		MinInterval:  r.MinInterval.Duration,
		RemoveStale:  r.RemoveStaleVariables,
		Workers:      r.Workers,
		AnnounceOnly: r.Webhook.URL != "",
	}

	for _, t := range r.IgnoredWorkloadTypes {
		switch t {
		case configv1alpha1.WorkloadJobs:
			s.Ignored = append(s.Ignored, workload.Job)
		case configv1alpha1.WorkloadCronJobs:
			s.Ignored = append(s.Ignored, workload.CronJob)
		}
	}

	return s, nil
}

func scope(r configv1alpha1.ReloadConfiguration, access reloadcontroller.Access) (reloadcontroller.Scope, error) {
	s := reloadcontroller.Scope{
		Namespaces: r.Namespaces, Excluded: r.NamespacesToIgnore,
		Kinds:             []refs.Kind{refs.ConfigMap, refs.Secret},
		Rollouts:          r.ArgoRollouts != configv1alpha1.SwitchOff,
		DeploymentConfigs: true,
		// Nobody asks for these in particular, and existing roles may not have them.
		Optional: []workload.Kind{workload.DeploymentConfig},
	}
	if r.ArgoRollouts == configv1alpha1.SwitchAuto {
		s.Optional = append(s.Optional, workload.Rollout)
	}

	s.OptionalClasses = r.CSI == configv1alpha1.SwitchAuto

	sources, err := configuration.Selector(r.ResourceLabelSelector)
	if err != nil {
		return s, fmt.Errorf("read reload.resourceLabelSelector: %w", err)
	}

	s.SourceSelector = sources.String()

	if len(r.NamespaceSelector) > 0 {
		if s.NamespaceSelector, err = configuration.Selector(r.NamespaceSelector); err != nil {
			return s, fmt.Errorf("read reload.namespaceSelector: %w", err)
		}
	}

	for _, ignored := range r.ResourcesToIgnore {
		switch ignored {
		case configv1alpha1.ResourceConfigMaps:
			s.Kinds = []refs.Kind{refs.Secret}
		case configv1alpha1.ResourceSecrets:
			s.Kinds = []refs.Kind{refs.ConfigMap}
		}
	}

	if r.CSI != configv1alpha1.SwitchOff {
		served, err := access.Serves(reloadcontroller.PodStatuses())
		if err != nil {
			return s, fmt.Errorf("look for the CSI integration: %w", err)
		}

		if served {
			s.Kinds = append(s.Kinds, refs.SecretProviderClass)
		}
	}

	return s, nil
}

func keys(a configv1alpha1.ReloadAnnotations) reload.Keys {
	k := reload.DefaultKeys()
	k.ConfigMapReload, k.SecretReload, k.Auto = a.ConfigMap, a.Secret, a.Auto
	k.ConfigMapAuto, k.SecretAuto = a.ConfigMapAuto, a.SecretAuto
	k.Search, k.Match, k.Ignore = a.AutoSearch, a.SearchMatch, a.Ignore
	k.PausePeriod, k.PausedAt = a.PauseDeployment, a.PauseDeploymentTime

	return k
}
