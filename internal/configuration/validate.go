package configuration

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
)

// FieldError is a value that is not accepted.
type FieldError struct {
	// Path of the field in the file: "reload.strategy".
	Path string
	// Value of the field; "(hidden)" for one that may hold a token.
	Value string
	// Accepted says in words what would be.
	Accepted string
}

// Error says where, what and what is accepted.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s: %q: accepted is %s", e.Path, e.Value, e.Accepted)
}

const (
	hidden     = "(hidden)"
	aNamespace = "a namespace's name: at most 63 lower-case letters, digits and '-'"
)

// Validate returns what is wrong with a configuration that was filled in, in the order of its fields.
func Validate(c *configv1alpha1.LockstepConfiguration) []*FieldError {
	var v validator

	for i, d := range c.Dialects {
		oneOf(&v, item("dialects", i), d, Dialects()...)
	}

	v.namespace(c)

	if c.Metrics.BindAddress != "0" {
		v.address("metrics.bindAddress", c.Metrics.BindAddress)
	}

	if c.Health.BindAddress != "0" {
		v.address("health.bindAddress", c.Health.BindAddress)
	}

	if c.Pprof.Enabled {
		v.address("pprof.bindAddress", c.Pprof.BindAddress)
	}

	if c.LeaderElection.Enabled {
		v.leaderElection(c.LeaderElection)
	}

	oneOf(&v, "log.format", c.Log.Format, LogFormats()...)
	oneOf(&v, "log.level", c.Log.Level, LogLevels()...)

	v.reload(&c.Reload)
	v.sinks(&c.Reload)
	v.graph(&c.Graph)
	v.live(&c.Live)

	return v.errs
}

// LogFormats are the formats that are accepted.
func LogFormats() []configv1alpha1.LogFormat {
	return []configv1alpha1.LogFormat{configv1alpha1.LogConsole, configv1alpha1.LogJSON}
}

// LogLevels are the levels that are accepted.
func LogLevels() []configv1alpha1.LogLevel {
	return []configv1alpha1.LogLevel{
		configv1alpha1.LogTrace, configv1alpha1.LogDebug, configv1alpha1.LogInfo, configv1alpha1.LogWarn,
		configv1alpha1.LogError,
	}
}

// IgnorableWorkloads are the types that ignoredWorkloadTypes accepts.
func IgnorableWorkloads() []string {
	return []string{configv1alpha1.WorkloadJobs, configv1alpha1.WorkloadCronJobs}
}

type validator struct{ errs []*FieldError }

func (v *validator) check(ok bool, path, value, accepted string) {
	if !ok {
		v.errs = append(v.errs, &FieldError{Path: path, Value: value, Accepted: accepted})
	}
}

// namespace checks where the manager keeps what it has to keep.
func (v *validator) namespace(c *configv1alpha1.LockstepConfiguration) {
	switch {
	case c.Namespace != "":
		v.name("namespace", c.Namespace, validation.IsDNS1123Label, aNamespace)
	case c.LeaderElection.Enabled:
		v.check(false, "namespace", "", "the namespace of the Lease: leader election is on")
	case slices.Contains(c.Dialects, configv1alpha1.DialectLive):
		v.check(false, "namespace", "", "the namespace of the key that digests are made with: the dialect live is on")
	}
}

func (v *validator) leaderElection(l configv1alpha1.LeaderElection) {
	v.name("leaderElection.leaseName", l.LeaseName, validation.IsDNS1123Subdomain,
		"a DNS name in lower case of at most 253 characters")

	lease, renew, retry := l.LeaseDuration.Duration, l.RenewDeadline.Duration, l.RetryPeriod.Duration
	v.check(lease >= time.Second, "leaderElection.leaseDuration", lease.String(), "a duration of at least 1s")
	v.check(renew < lease, "leaderElection.renewDeadline", renew.String(), "a duration below leaseDuration "+lease.String())
	// The election adds up to a fifth to the period, so that replicas do not all try at once.
	v.check(retry > 0 && retry+retry/5 < renew, "leaderElection.retryPeriod", retry.String(),
		"a positive duration of which 1.2 times is below renewDeadline "+renew.String())
}

func (v *validator) reload(r *configv1alpha1.ReloadConfiguration) {
	oneOf(v, "reload.strategy", r.Strategy, configv1alpha1.StrategyEnvVars, configv1alpha1.StrategyAnnotations)

	for i, n := range r.Namespaces {
		v.name(item("reload.namespaces", i), n, validation.IsDNS1123Label, aNamespace)
	}

	v.selector("reload.namespaceSelector", r.NamespaceSelector)
	v.selector("reload.resourceLabelSelector", r.ResourceLabelSelector)

	for i, ignored := range r.ResourcesToIgnore {
		oneOf(v, item("reload.resourcesToIgnore", i), ignored,
			configv1alpha1.ResourceConfigMaps, configv1alpha1.ResourceSecrets)
	}

	v.check(!slices.Contains(r.ResourcesToIgnore, configv1alpha1.ResourceConfigMaps) ||
		!slices.Contains(r.ResourcesToIgnore, configv1alpha1.ResourceSecrets),
		"reload.resourcesToIgnore", strings.Join(r.ResourcesToIgnore, ","), "one of the two: with both, nothing is left")

	for i, ignored := range r.IgnoredWorkloadTypes {
		oneOf(v, item("reload.ignoredWorkloadTypes", i), ignored, IgnorableWorkloads()...)
	}

	switches := []configv1alpha1.Switch{
		configv1alpha1.SwitchAuto, configv1alpha1.SwitchOn, configv1alpha1.SwitchOff,
	}
	oneOf(v, "reload.argoRollouts", r.ArgoRollouts, switches...)
	oneOf(v, "reload.csi", r.CSI, switches...)

	v.check(r.MinInterval.Duration >= 0, "reload.minInterval", r.MinInterval.Duration.String(),
		"a duration that is not negative; 0 is no limit")
	v.check(r.Workers >= 1, "reload.workers", strconv.Itoa(r.Workers), "a number of at least 1")

	v.annotations(r.Annotations)
}

func (v *validator) graph(g *configv1alpha1.GraphConfiguration) {
	oneOf(v, "graph.adopt", g.Adopt, configv1alpha1.AdoptAlways, configv1alpha1.AdoptAsked)
	v.selector("graph.definitionSelector", g.DefinitionSelector)
	oneOf(v, "graph.definitionDeletion", g.DefinitionDeletion, configv1alpha1.DeletionRefuse, configv1alpha1.DeletionDrain)

	for _, n := range []struct {
		path  string
		value int
	}{
		{"graph.maxRevisions", g.MaxRevisions},
		{"graph.workers", g.Workers},
		{"graph.definitionWorkers", g.DefinitionWorkers},
		{"graph.writes", g.Writes},
		{"graph.collections.maxSize", g.Collections.MaxSize},
		{"graph.collections.maxDimensions", g.Collections.MaxDimensions},
	} {
		v.check(n.value >= 1, n.path, strconv.Itoa(n.value), "a number of at least 1")
	}

	v.retry("graph.retry", g.Retry)
}

func (v *validator) live(l *configv1alpha1.LiveConfiguration) {
	v.check(l.Workers >= 1, "live.workers", strconv.Itoa(l.Workers), "a number of at least 1")
	v.check(l.StoreConcurrency >= 1, "live.storeConcurrency", strconv.Itoa(l.StoreConcurrency), "a number of at least 1")
	oneOf(v, "live.rook", l.Rook, configv1alpha1.SwitchOn, configv1alpha1.SwitchOff)
	v.retry("live.retry", l.Retry)
}

func (v *validator) retry(path string, r configv1alpha1.Retry) {
	first, last := r.MinDelay.Duration, r.MaxDelay.Duration
	v.check(first > 0, path+".minDelay", first.String(), "a positive duration")
	v.check(last >= first, path+".maxDelay", last.String(), "a duration of at least minDelay "+first.String())
}

func (v *validator) annotations(a configv1alpha1.ReloadAnnotations) {
	for _, key := range []struct{ path, value string }{
		{"configmap", a.ConfigMap},
		{"secret", a.Secret},
		{"auto", a.Auto},
		{"configmapAuto", a.ConfigMapAuto},
		{"secretAuto", a.SecretAuto},
		{"autoSearch", a.AutoSearch},
		{"searchMatch", a.SearchMatch},
		{"ignore", a.Ignore},
		{"pauseDeployment", a.PauseDeployment},
		{"pauseDeploymentTime", a.PauseDeploymentTime},
	} {
		v.name("reload.annotations."+key.path, key.value, annotationKey,
			"an annotation's key: [a DNS name/]at most 63 letters, digits, '-', '_' and '.'")
	}
}

// annotationKey checks like the API server, which looks at the lower-case form of an annotation's key.
func annotationKey(key string) []string { return validation.IsQualifiedName(strings.ToLower(key)) }

func (v *validator) sinks(r *configv1alpha1.ReloadConfiguration) {
	if r.Webhook.URL != "" {
		v.url("reload.webhook.url", r.Webhook.URL, "http", "https")
	}

	v.check(r.Webhook.Timeout.Duration > 0, "reload.webhook.timeout", r.Webhook.Timeout.Duration.String(),
		"a positive duration")

	if r.Alerts.Enabled {
		v.url("reload.alerts.url", r.Alerts.URL, "http", "https")
		oneOf(v, "reload.alerts.sink", r.Alerts.Sink, configv1alpha1.SinkSlack, configv1alpha1.SinkTeams,
			configv1alpha1.SinkGoogleChat, configv1alpha1.SinkRaw)

		if r.Alerts.Proxy != "" {
			v.url("reload.alerts.proxy", r.Alerts.Proxy, "http", "https", "socks5")
		}
	}

	if r.MetaInfo.Enabled {
		v.name("reload.metaInfo.namespace", r.MetaInfo.Namespace, validation.IsDNS1123Label, aNamespace)
	}
}

func (v *validator) name(path, value string, check func(string) []string, accepted string) {
	v.check(len(check(value)) == 0, path, value, accepted)
}

func (v *validator) address(path, value string) {
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}

	v.check(err == nil, path, value, "host:port or :port")
}

func (v *validator) selector(path string, requirements []string) {
	if _, err := Selector(requirements); err != nil {
		v.check(false, path, strings.Join(requirements, ","),
			"a list of requirements such as key=value, key:value, key:*, key in (a,b), !key")
	}
}

// url does not tell the value: it may hold a token.
func (v *validator) url(path, value string, schemes ...string) {
	u, err := url.Parse(value)

	shown := hidden
	if value == "" {
		shown = ""
	}

	v.check(err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme), path, shown,
		"an absolute URL with the scheme "+strings.Join(schemes, " or "))
}

func oneOf[T ~string](v *validator, path string, value T, accepted ...T) {
	words := make([]string, len(accepted))
	for i, a := range accepted {
		words[i] = string(a)
	}

	v.check(slices.Contains(accepted, value), path, string(value), strings.Join(words, ", "))
}

func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
