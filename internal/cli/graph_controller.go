package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/configuration"
)

// graphLease is the name of the Lease of the system that it replaces, so that the two never work at the same time.
const graphLease = "controller.kro.run"

// newGraphController returns the verb that runs the dialect graph alone, with the flags of the system whose API it
// serves.
func newGraphController(streams genericiooptions.IOStreams, run Runner) *cobra.Command {
	return graphControllerCommand(streams, run, os.Getenv)
}

func graphControllerCommand(streams genericiooptions.IOStreams, run Runner, env environment) *cobra.Command {
	g := &graphControlling{}
	cmd := &cobra.Command{
		Use:   "graph-controller",
		Short: "Run the dialect graph with kro's flags",
		Long: "Run the dialect graph alone. The flags are those of kro's controller, so that an existing installation " +
			"switches by its image. Flags that only tune what Lockstep does not do, such as polling, are accepted and " +
			"have no effect, which the log says. New installations use `lockstep manager`.",
		Args: cobra.NoArgs,
	}
	g.addFlags(cmd.Flags())

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		to, connectErr := connect(g.kubeconfig, env)

		c, err := g.configuration(cmp.Or(env("POD_NAMESPACE"), to.namespace))
		if err := errors.Join(err, connectErr); err != nil {
			return err
		}

		log := newLogger(streams.ErrOut, c.Log)

		cmd.Flags().Visit(func(f *pflag.Flag) {
			if why, idle := g.idle[f.Name]; idle {
				log.Info("a flag has no effect", "flag", "--"+f.Name, "value", f.Value.String(), "reason", why)
			}
		})

		for _, gate := range g.idleGates {
			log.Info("a feature gate has no effect", "flag", "--feature-gates", "value", gate)
		}

		return run(cmd.Context(), to.config, c, log)
	}

	return cmd
}

// graphControlling are the flags of the verb graph-controller.
type graphControlling struct {
	kubeconfig string
	values     settings
	// The names of these types are those of their flags' values, not of their fields'.
	adopt, deletion string
	level, encoder  string
	devel           bool
	gates           []string
	// idle are the flags without effect, and why.
	idle map[string]string
	// idleGates are the feature gates that were switched on and have no effect.
	idleGates []string
}

// addFlags makes the flags as they are known.
func (g *graphControlling) addFlags(fs *pflag.FlagSet) {
	c, dialect := &g.values, &g.values.Graph

	fs.StringVar(&g.kubeconfig, "kubeconfig", "", "path of the kubeconfig")
	fs.StringVar(&c.Metrics.BindAddress, "metrics-bind-address", ":8078", `host:port of /metrics, "0" for none`)
	fs.StringVar(&c.Health.BindAddress, "health-probe-bind-address", ":8079", `host:port of /healthz and /readyz, "0" for none`)
	fs.StringVar(&c.Pprof.BindAddress, "pprof-bind-address", "", "host:port of /debug/pprof (default none)")

	lead := &c.LeaderElection
	fs.BoolVar(&lead.Enabled, "leader-elect", false, "work only while holding the Lease")
	fs.StringVar(&c.Namespace, "leader-election-namespace", "", "namespace of the Lease (default the manager's)")
	fs.DurationVar(&lead.LeaseDuration.Duration, "leader-election-lease-duration", 0,
		"how long the others wait for a leader that is silent (default 15s)")
	fs.DurationVar(&lead.RenewDeadline.Duration, "leader-election-renew-deadline", 0,
		"how long the leader tries to renew (default 10s)")
	fs.DurationVar(&lead.RetryPeriod.Duration, "leader-election-retry-period", 0, "time between two tries (default 2s)")

	fs.BoolVar(&dialect.DeleteKinds, "allow-crd-deletion", false, "delete the instances' kind with its definition")
	fs.IntVar(&dialect.DefinitionWorkers, "resource-graph-definition-concurrent-reconciles", 0,
		"how many definitions are reconciled at the same time (default 4)")
	fs.IntVar(&dialect.Workers, "dynamic-controller-concurrent-reconciles", 0,
		"how many instances are reconciled at the same time (default 16)")
	fs.IntVar(&dialect.Writes, "apply-concurrency", 0, "how many objects are written at the same time (default 32)")
	fs.DurationVar(&dialect.Retry.MinDelay.Duration, "dynamic-controller-rate-limiter-min-delay", 0,
		"time before a pass that failed is tried again (default 200ms)")
	fs.DurationVar(&dialect.Retry.MaxDelay.Duration, "dynamic-controller-rate-limiter-max-delay", 0,
		"longest time before another try (default 1m)")
	fs.IntVar(&dialect.Collections.MaxSize, "rgd-max-collection-size", 0, "how many objects one forEach may make (default 1000)")
	fs.IntVar(&dialect.Collections.MaxDimensions, "rgd-max-collection-dimension-size", 0,
		"how many lists one forEach may combine (default 10)")
	fs.IntVar(&dialect.MaxRevisions, "rgd-max-graph-revisions", 0, "how many revisions of a definition are kept (default 5)")
	fs.Uint64Var(&dialect.CEL.Expression, "cel-cost-limit", 0, "cost limit of one evaluation (default 10000000)")
	fs.StringSliceVar(&g.gates, "feature-gates", nil, "comma-separated Name=true or Name=false; CELOmitFunction has an effect")

	fs.StringVar(&g.adopt, "graph-adopt", string(configv1alpha1.AdoptAlways),
		`take over objects that are there already: "always", or "asked" where the template has lockstep.dev/adopt: "true"`)
	fs.StringVar(&g.deletion, "graph-deletion", string(configv1alpha1.DeletionRefuse),
		`what a definition that is being deleted does with its instances: "refuse" to go, or "drain" them`)

	fs.StringVar(&g.level, "zap-log-level", "info", "debug, info, error, or a number for more detail")
	fs.StringVar(&g.encoder, "zap-encoder", "console", "console or json")
	fs.BoolVar(&g.devel, "zap-devel", false, "debug level on the console")

	g.addIdle(fs)
}

// addIdle makes the flags that have no effect.
func (g *graphControlling) addIdle(fs *pflag.FlagSet) {
	const (
		silent    = "nothing is polled or listed again"
		unlimited = "the API server's priority and fairness is the throttle"
		forever   = "no object is ever given up"
		other     = "there is no controller of its own for it"
	)

	g.idle = map[string]string{
		"client-qps":   unlimited,
		"client-burst": unlimited,
		"dynamic-controller-rate-limiter-rate-limit":   unlimited,
		"dynamic-controller-rate-limiter-burst-limit":  unlimited,
		"dynamic-controller-default-queue-max-retries": forever,
		"dynamic-controller-default-resync-period":     silent,
		"instance-requeue-interval":                    silent,
		"rgd-progress-requeue-delay":                   silent,
		"graph-revision-concurrent-reconciles":         other,
		"graph-concurrent-reconciles":                  other,
		"enable-controller-warmup":                     "it warms up before it works in any case",
		"graceful-shutdown-timeout":                    "a pass under way is cut off safely and done again by the next manager",
		"zap-stacktrace-level":                         "stack traces are not logged",
		"zap-time-encoding":                            "times are logged as RFC 3339",
	}

	for name, why := range g.idle {
		fs.String(name, "", "no effect: "+why)
		// The flag exists.
		_ = fs.MarkHidden(name)
	}

	fs.Lookup("enable-controller-warmup").NoOptDefVal = truth
}

// configuration translates the flags. Where they say nothing, the namespace is the given one.
func (g *graphControlling) configuration(namespace string) (*settings, error) {
	c := g.values
	c.Dialects = []string{configv1alpha1.DialectGraph}
	c.Namespace = cmp.Or(c.Namespace, namespace)
	c.LeaderElection.LeaseName = graphLease
	c.Pprof.Enabled = c.Pprof.BindAddress != ""
	c.Graph.Adopt = configv1alpha1.Adopt(g.adopt)
	c.Graph.DefinitionDeletion = configv1alpha1.DefinitionDeletion(g.deletion)

	log, logErr := g.log()
	c.Log = log

	var gateErr error
	c.Graph.OmitFunction, gateErr = g.omitFunction()

	configuration.Default(&c)

	return &c, errors.Join(logErr, gateErr, rejected(configuration.Validate(&c), graphFlagNames()))
}

func (g *graphControlling) log() (configv1alpha1.Log, error) {
	l := configv1alpha1.Log{Format: configv1alpha1.LogFormat(g.encoder), Level: configv1alpha1.LogLevel(g.level)}

	if n, err := strconv.Atoi(g.level); err == nil {
		l.Level = configv1alpha1.LogDebug
		if n > 1 {
			l.Level = configv1alpha1.LogTrace
		}
	}

	switch l.Level {
	case configv1alpha1.LogTrace, configv1alpha1.LogDebug, configv1alpha1.LogInfo, configv1alpha1.LogWarn, configv1alpha1.LogError:
	case "panic", "fatal":
		l.Level = configv1alpha1.LogError
	default:
		return l, fmt.Errorf("--zap-log-level: %q: accepted is debug, info, error or a number", g.level)
	}

	if g.devel {
		l.Level = configv1alpha1.LogDebug
	}

	return l, nil
}

// omitFunction reads the feature gates, of which one has an effect.
func (g *graphControlling) omitFunction() (bool, error) {
	const all, omit = "AllAlpha", "CELOmitFunction"

	known := []string{all, "AllBeta", omit, "GraphKind", "InstanceConditionEvents", "InstanceConditionMetrics"}
	on := map[string]bool{}

	for _, gate := range g.gates {
		if gate = strings.TrimSpace(gate); gate == "" {
			continue
		}

		name, value, _ := strings.Cut(gate, "=")

		set, err := strconv.ParseBool(value)
		if err != nil {
			return false, fmt.Errorf("--feature-gates: %q: accepted is Name=true or Name=false", gate)
		}

		if !slices.Contains(known, name) {
			return false, fmt.Errorf("--feature-gates: %q: accepted are %s", name, strings.Join(known, ", "))
		}

		if set && name != all && name != omit {
			g.idleGates = append(g.idleGates, name)
		}

		on[name] = set
	}

	if said, ok := on[omit]; ok {
		return said, nil
	}

	return on[all], nil
}

// graphFlagNames are the flags by the path of their field.
func graphFlagNames() map[string]string {
	return map[string]string{
		"namespace":                       "leader-election-namespace",
		"metrics.bindAddress":             "metrics-bind-address",
		"health.bindAddress":              "health-probe-bind-address",
		"pprof.bindAddress":               "pprof-bind-address",
		"leaderElection.leaseDuration":    "leader-election-lease-duration",
		"leaderElection.renewDeadline":    "leader-election-renew-deadline",
		"leaderElection.retryPeriod":      "leader-election-retry-period",
		"log.format":                      "zap-encoder",
		"graph.adopt":                     "graph-adopt",
		"graph.definitionDeletion":        "graph-deletion",
		"graph.maxRevisions":              "rgd-max-graph-revisions",
		"graph.workers":                   "dynamic-controller-concurrent-reconciles",
		"graph.definitionWorkers":         "resource-graph-definition-concurrent-reconciles",
		"graph.writes":                    "apply-concurrency",
		"graph.collections.maxSize":       "rgd-max-collection-size",
		"graph.collections.maxDimensions": "rgd-max-collection-dimension-size",
		"graph.retry.minDelay":            "dynamic-controller-rate-limiter-min-delay",
		"graph.retry.maxDelay":            "dynamic-controller-rate-limiter-max-delay",
	}
}
