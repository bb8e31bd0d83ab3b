package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/configuration"
	"github.com/lockstep-dev/lockstep/internal/reload"
)

// newReload returns the verb that runs the dialect reload alone, with the flags and the environment of the system
// whose annotations it reads.
func newReload(streams genericiooptions.IOStreams, run Runner) *cobra.Command {
	return reloadCommand(streams, run, os.Getenv)
}

func reloadCommand(streams genericiooptions.IOStreams, run Runner, env environment) *cobra.Command {
	r := &reloading{env: env}
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Run the dialect reload with Reloader's flags and environment",
		Long: "Run the dialect reload alone. The flags and the environment are those of Reloader, so that an existing " +
			"installation switches by its image. New installations use `lockstep manager`.\n\n" +
			"Environment: KUBERNETES_NAMESPACE (the only namespace), POD_NAME and POD_NAMESPACE (for --enable-ha), " +
			"RELOADER_NAMESPACE and RELOADER_DEPLOYMENT_NAME (for the ConfigMap reloader-meta-info), " +
			"METRICS_COUNT_BY_NAMESPACE=enabled, ALERT_ON_RELOAD=true, ALERT_WEBHOOK_URL, ALERT_SINK, " +
			"ALERT_WEBHOOK_PROXY, ALERT_ADDITIONAL_INFO, KUBECONFIG.",
		Args: cobra.NoArgs,
	}
	r.addFlags(cmd.Flags())

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		to, connectErr := connect("", env)

		c, err := r.configuration(to.namespace)
		if err := errors.Join(err, connectErr); err != nil {
			return err
		}

		log := newLogger(streams.ErrOut, c.Log)
		for _, w := range r.warnings {
			log.Info(w.message, w.keysAndValues...)
		}

		return run(cmd.Context(), to.config, c, log)
	}

	return cmd
}

const (
	// The name of the Lease is that of the system it replaces, so that the two never work at the same time.
	reloadLease = "stakater-reloader-lock"
	truth       = "true"
)

// reloading are the flags of the verb reload, and what was noticed while they were translated.
type reloading struct {
	env environment
	// values are those of the flags whose type is that of their field.
	values settings

	logFormat, logLevel            string
	argoRollouts, create, deletion string
	highlyAvailable, csi           bool
	ignoredTypes                   []string

	warnings []warning
}

// warning is a line for the log.
type warning struct {
	message       string
	keysAndValues []any
}

func (r *reloading) warn(message string, keysAndValues ...any) {
	r.warnings = append(r.warnings, warning{message, keysAndValues})
}

// reloadFlagNames are the flags by the path of their field.
func reloadFlagNames() map[string]string {
	return map[string]string{
		"metrics.bindAddress":                    "metrics-bind-address",
		"pprof.bindAddress":                      "pprof-addr",
		"reload.strategy":                        "reload-strategy",
		"reload.namespaces":                      "namespaces",
		"reload.namespaceSelector":               "namespace-selector",
		"reload.resourceLabelSelector":           "resource-label-selector",
		"reload.resourcesToIgnore":               "resources-to-ignore",
		"reload.webhook.url":                     "webhook-url",
		"reload.annotations.configmap":           "configmap-annotation",
		"reload.annotations.secret":              "secret-annotation",
		"reload.annotations.auto":                "auto-annotation",
		"reload.annotations.ignore":              "ignore-annotation",
		"reload.annotations.configmapAuto":       "configmap-auto-annotation",
		"reload.annotations.secretAuto":          "secret-auto-annotation",
		"reload.annotations.autoSearch":          "auto-search-annotation",
		"reload.annotations.searchMatch":         "search-match-annotation",
		"reload.annotations.pauseDeployment":     "pause-deployment-annotation",
		"reload.annotations.pauseDeploymentTime": "pause-deployment-time-annotation",
	}
}

// addFlags makes the flags as they are known, odd types and capitals included.
func (r *reloading) addFlags(fs *pflag.FlagSet) {
	c := &r.values.Reload

	fs.BoolVar(&c.AutoReloadAll, "auto-reload-all", false, "reload workloads that do not say whether they want it")
	fs.StringVar(&r.logFormat, "log-format", "", "json, or nothing for text")
	fs.StringVar(&r.logLevel, "log-level", "info", "trace, debug, info, warning, error, fatal or panic")
	fs.StringVar(&c.Webhook.URL, "webhook-url", "", "URL to call for every change instead of reloading anything")
	fs.StringSliceVar(&c.ResourcesToIgnore, "resources-to-ignore", nil, "configmaps or secrets")
	fs.StringSliceVar(&r.ignoredTypes, "ignored-workload-types", nil, "jobs, cronjobs")
	fs.StringSliceVar(&c.Namespaces, "namespaces", nil, "the only namespaces to serve")
	fs.StringSliceVar(&c.NamespacesToIgnore, "namespaces-to-ignore", nil, "namespaces to leave out")
	fs.StringSliceVar(&c.NamespaceSelector, "namespace-selector", nil, "labels that a namespace must have")
	fs.StringSliceVar(&c.ResourceLabelSelector, "resource-label-selector", nil,
		"labels that a ConfigMap or Secret must have")
	fs.StringVar(&r.argoRollouts, "is-Argo-Rollouts", "false", "serve Argo Rollouts: true or false")
	fs.StringVar((*string)(&c.Strategy), "reload-strategy", string(configv1alpha1.StrategyEnvVars),
		"how a restart is written: env-vars or annotations")
	fs.StringVar(&r.create, "reload-on-create", "false", "act also when a source appears: true or false")
	fs.StringVar(&r.deletion, "reload-on-delete", "false", "act also when a source disappears: true or false")
	fs.BoolVar(&r.highlyAvailable, "enable-ha", false, "work only while holding the Lease")
	fs.BoolVar(&c.SyncAfterRestart, "sync-after-restart", false,
		"look at every source at the start; with --reload-on-create")
	fs.BoolVar(&r.values.Pprof.Enabled, "enable-pprof", false, "serve /debug/pprof")
	fs.StringVar(&r.values.Pprof.BindAddress, "pprof-addr", ":6060", "host:port of /debug/pprof")
	fs.BoolVar(&r.csi, "enable-csi-integration", false, "watch SecretProviderClasses")

	// Not a flag of that system, where the port is fixed.
	fs.StringVar(&r.values.Metrics.BindAddress, "metrics-bind-address", ":9090", "host:port of /metrics and /live")
	// The flag exists.
	_ = fs.MarkHidden("metrics-bind-address")

	r.addAnnotationFlags(fs)
}

func (r *reloading) addAnnotationFlags(fs *pflag.FlagSet) {
	a, k := &r.values.Reload.Annotations, reload.DefaultKeys()

	for _, f := range []struct {
		key         *string
		name, value string
		usage       string
	}{
		{&a.ConfigMap, "configmap-annotation", k.ConfigMapReload, "annotation that lists ConfigMaps"},
		{&a.Secret, "secret-annotation", k.SecretReload, "annotation that lists Secrets"},
		{&a.Auto, "auto-annotation", k.Auto, "annotation that asks for every source that is read"},
		{&a.Ignore, "ignore-annotation", k.Ignore, "annotation on a source that keeps it from reloading anything"},
		{&a.ConfigMapAuto, "configmap-auto-annotation", k.ConfigMapAuto, "annotation that asks for every ConfigMap that is read"},
		{&a.SecretAuto, "secret-auto-annotation", k.SecretAuto, "annotation that asks for every Secret that is read"},
		{&a.AutoSearch, "auto-search-annotation", k.Search, "annotation that asks for matching sources that are read"},
		{&a.SearchMatch, "search-match-annotation", k.Match, "annotation on a source that makes it a matching one"},
		{&a.PauseDeployment, "pause-deployment-annotation", k.PausePeriod, "annotation that pauses a Deployment after a change"},
		{&a.PauseDeploymentTime, "pause-deployment-time-annotation", k.PausedAt, "annotation that is written: since when a Deployment is paused"},
	} {
		fs.StringVar(f.key, f.name, f.value, f.usage)
	}
}

// configuration translates flags and environment. Where they say nothing, the namespace is that of the cluster.
func (r *reloading) configuration(namespace string) (*settings, error) {
	c := r.values
	c.Dialects = []string{configv1alpha1.DialectReload}
	c.Namespace = cmp.Or(r.env("POD_NAMESPACE"), r.env("RELOADER_NAMESPACE"), namespace)
	c.Metrics.CountByNamespace = r.env("METRICS_COUNT_BY_NAMESPACE") == "enabled"
	c.Log = r.log()

	c.Reload.ReloadOnCreate = r.literal("reload-on-create", r.create)
	c.Reload.ReloadOnDelete = r.literal("reload-on-delete", r.deletion)
	c.Reload.ArgoRollouts = position(r.literal("is-Argo-Rollouts", r.argoRollouts))
	c.Reload.CSI = position(r.csi)
	c.Reload.IgnoredWorkloadTypes = r.ignorable()
	c.Reload.Alerts = r.alerts()
	c.Reload.MetaInfo = r.metaInfo()

	if only := r.env("KUBERNETES_NAMESPACE"); len(c.Reload.Namespaces) == 0 && only != "" {
		c.Reload.Namespaces = []string{only}
	}

	var err error
	if r.highlyAvailable {
		c.LeaderElection, err = r.election()
	}

	configuration.Default(&c)

	// Nobody goes without reloads because the chat cannot be told of them.
	problems := configuration.Validate(&c)
	problems = slices.DeleteFunc(problems, func(p *configuration.FieldError) bool {
		if !strings.HasPrefix(p.Path, "reload.alerts.") {
			return false
		}

		r.warn("no alerts are sent: ALERT_WEBHOOK_URL or ALERT_WEBHOOK_PROXY cannot be used", "problem", p.Error())

		c.Reload.Alerts.Enabled = false

		return true
	})

	return &c, errors.Join(err, rejected(problems, reloadFlagNames()))
}

// literal is the value of a flag that is a string and means yes by one spelling alone.
func (r *reloading) literal(flag, value string) bool {
	if value != truth && value != "false" {
		r.warn("a flag counts as false, since only the literal true means yes", "flag", "--"+flag, "value", value)
	}

	return value == truth
}

func position(on bool) configv1alpha1.Switch {
	if on {
		return configv1alpha1.SwitchOn
	}

	return configv1alpha1.SwitchOff
}

func (r *reloading) log() configv1alpha1.Log {
	l := configv1alpha1.Log{Format: configv1alpha1.LogConsole, Level: configv1alpha1.LogInfo}

	switch r.logFormat {
	case "":
	case "json":
		l.Format = configv1alpha1.LogJSON
	default:
		r.warn("the log format is unknown and text is used", "flag", "--log-format", "value", r.logFormat,
			"accepted", "json")

		return l
	}

	switch level := strings.ToLower(r.logLevel); level {
	case "trace", "debug", "info", "warn", "error":
		l.Level = configv1alpha1.LogLevel(level)
	case "warning":
		l.Level = configv1alpha1.LogWarn
	case "fatal", "panic":
		l.Level = configv1alpha1.LogError
	default:
		r.warn("the log level is unknown and info is used", "flag", "--log-level", "value", r.logLevel,
			"accepted", "trace, debug, info, warning, error, fatal, panic")
	}

	return l
}

// ignorable leaves out, with a warning, what cannot be ignored; the other entries count.
func (r *reloading) ignorable() []string {
	var known []string

	for _, entry := range r.ignoredTypes {
		if entry = strings.TrimSpace(entry); slices.Contains(configuration.IgnorableWorkloads(), entry) {
			known = append(known, entry)
		} else if entry != "" {
			r.warn("an entry has no effect", "flag", "--ignored-workload-types", "value", entry,
				"accepted", strings.Join(configuration.IgnorableWorkloads(), ", "))
		}
	}

	return known
}

func (r *reloading) alerts() configv1alpha1.Alerts {
	if r.env("ALERT_ON_RELOAD") != truth {
		return configv1alpha1.Alerts{}
	}

	a := configv1alpha1.Alerts{
		Enabled:        true,
		URL:            r.env("ALERT_WEBHOOK_URL"),
		Sink:           configv1alpha1.Sink(strings.ToLower(strings.TrimSpace(r.env("ALERT_SINK")))),
		Proxy:          r.env("ALERT_WEBHOOK_PROXY"),
		AdditionalInfo: r.env("ALERT_ADDITIONAL_INFO"),
	}

	switch a.Sink {
	case configv1alpha1.SinkSlack, configv1alpha1.SinkTeams, configv1alpha1.SinkGoogleChat:
	case configv1alpha1.SinkRaw:
	default:
		a.Sink = configv1alpha1.SinkRaw
	}

	return a
}

func (r *reloading) metaInfo() configv1alpha1.MetaInfo {
	namespace := r.env("RELOADER_NAMESPACE")
	if namespace == "" {
		r.warn("the ConfigMap reloader-meta-info is not written, since RELOADER_NAMESPACE is not set")
	}

	return configv1alpha1.MetaInfo{
		Enabled:        namespace != "",
		Namespace:      namespace,
		DeploymentName: r.env("RELOADER_DEPLOYMENT_NAME"),
	}
}

func (r *reloading) election() (configv1alpha1.LeaderElection, error) {
	var errs []error

	for _, name := range []string{"POD_NAME", "POD_NAMESPACE"} {
		if r.env(name) == "" {
			errs = append(errs, fmt.Errorf("--enable-ha: the environment variable %s is not set", name))
		}
	}

	return configv1alpha1.LeaderElection{
		Enabled:   len(errs) == 0,
		LeaseName: reloadLease,
		Identity:  r.env("POD_NAME"),
	}, errors.Join(errs...)
}
