package configuration

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/reload"
)

const (
	defaultMetricsAddress = ":9090"
	defaultPprofAddress   = "127.0.0.1:6060"
	defaultLeaseName      = "lockstep"
	defaultLeaseDuration  = 15 * time.Second
	defaultRenewDeadline  = 10 * time.Second
	defaultRetryPeriod    = 2 * time.Second
	defaultMinInterval    = time.Second
	defaultWorkers        = 16
	defaultWebhookTimeout = 10 * time.Second

	defaultRevisions         = 5
	defaultDefinitionWorkers = 4
	defaultWrites            = 32
	defaultCollection        = 1000
	defaultDimensions        = 10
	defaultExpressionCost    = 10_000_000
	defaultPassCost          = 100_000_000
	defaultMinDelay          = 200 * time.Millisecond
	defaultMaxDelay          = time.Minute

	defaultLiveWorkers      = 256
	defaultStoreConcurrency = 64
	defaultLiveMinDelay     = time.Second
	defaultLiveMaxDelay     = 5 * time.Minute
)

// Dialects are those that exist.
func Dialects() []string {
	return []string{configv1alpha1.DialectReload, configv1alpha1.DialectGraph, configv1alpha1.DialectLive}
}

// Default fills in what the configuration leaves out, except the namespace, which depends on where the manager runs.
// Doing it again changes nothing.
func Default(c *configv1alpha1.LockstepConfiguration) {
	c.APIVersion, c.Kind = configv1alpha1.APIVersion, configv1alpha1.Kind

	if len(c.Dialects) == 0 {
		c.Dialects = Dialects()
	}

	fill(&c.Metrics.BindAddress, defaultMetricsAddress)
	fill(&c.Pprof.BindAddress, defaultPprofAddress)
	fill(&c.LeaderElection.LeaseName, defaultLeaseName)
	fill(&c.LeaderElection.LeaseDuration.Duration, defaultLeaseDuration)
	fill(&c.LeaderElection.RenewDeadline.Duration, defaultRenewDeadline)
	fill(&c.LeaderElection.RetryPeriod.Duration, defaultRetryPeriod)
	fill(&c.Log.Format, configv1alpha1.LogConsole)
	fill(&c.Log.Level, configv1alpha1.LogInfo)

	fill(&c.Health.BindAddress, "0")

	defaultReload(&c.Reload)
	defaultGraph(&c.Graph)
	defaultLive(&c.Live)
	fill(&c.Reload.MetaInfo.Namespace, c.Namespace)
}

func defaultReload(r *configv1alpha1.ReloadConfiguration) {
	fill(&r.Strategy, configv1alpha1.StrategyEnvVars)
	fill(&r.ArgoRollouts, configv1alpha1.SwitchAuto)
	fill(&r.CSI, configv1alpha1.SwitchAuto)
	fill(&r.Workers, defaultWorkers)
	fill(&r.Webhook.Timeout.Duration, defaultWebhookTimeout)
	fill(&r.Alerts.Sink, configv1alpha1.SinkRaw)

	if r.CarryMissed == nil {
		r.CarryMissed = new(true)
	}

	if r.MinInterval == nil {
		r.MinInterval = &metav1.Duration{Duration: defaultMinInterval}
	}

	for _, list := range []*[]string{
		&r.Namespaces, &r.NamespacesToIgnore, &r.NamespaceSelector, &r.ResourceLabelSelector,
		&r.ResourcesToIgnore, &r.IgnoredWorkloadTypes,
	} {
		*list = tidy(*list)
	}

	for i, resource := range r.ResourcesToIgnore {
		r.ResourcesToIgnore[i] = strings.ToLower(resource)
	}

	defaultAnnotations(&r.Annotations)
}

func defaultGraph(g *configv1alpha1.GraphConfiguration) {
	fill(&g.Adopt, configv1alpha1.AdoptAsked)
	fill(&g.DefinitionDeletion, configv1alpha1.DeletionRefuse)
	g.DefinitionSelector = tidy(g.DefinitionSelector)

	fill(&g.MaxRevisions, defaultRevisions)
	fill(&g.Workers, defaultWorkers)
	fill(&g.DefinitionWorkers, defaultDefinitionWorkers)
	fill(&g.Writes, defaultWrites)
	fill(&g.Collections.MaxSize, defaultCollection)
	fill(&g.Collections.MaxDimensions, defaultDimensions)
	fill(&g.CEL.Expression, defaultExpressionCost)
	fill(&g.CEL.Pass, defaultPassCost)
	fill(&g.Retry.MinDelay.Duration, defaultMinDelay)
	fill(&g.Retry.MaxDelay.Duration, defaultMaxDelay)
}

func defaultLive(l *configv1alpha1.LiveConfiguration) {
	fill(&l.Workers, defaultLiveWorkers)
	fill(&l.StoreConcurrency, defaultStoreConcurrency)
	fill(&l.Rook, configv1alpha1.SwitchOff)
	fill(&l.Retry.MinDelay.Duration, defaultLiveMinDelay)
	fill(&l.Retry.MaxDelay.Duration, defaultLiveMaxDelay)
}

func defaultAnnotations(a *configv1alpha1.ReloadAnnotations) {
	k := reload.DefaultKeys()

	fill(&a.ConfigMap, k.ConfigMapReload)
	fill(&a.Secret, k.SecretReload)
	fill(&a.Auto, k.Auto)
	fill(&a.ConfigMapAuto, k.ConfigMapAuto)
	fill(&a.SecretAuto, k.SecretAuto)
	fill(&a.AutoSearch, k.Search)
	fill(&a.SearchMatch, k.Match)
	fill(&a.Ignore, k.Ignore)
	fill(&a.PauseDeployment, k.PausePeriod)
	fill(&a.PauseDeploymentTime, k.PausedAt)
}

func fill[T comparable](field *T, value T) { *field = cmp.Or(*field, value) }

// tidy is the list without blanks around its items and without empty items, which lists given on a command line have
// easily. The given list is not changed.
func tidy(list []string) []string {
	var kept []string

	for _, item := range list {
		if item = strings.TrimSpace(item); item != "" && !slices.Contains(kept, item) {
			kept = append(kept, item)
		}
	}

	return kept
}
