package cli

import (
	"cmp"
	"errors"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/configuration"
)

// newManager returns the verb that runs the controllers.
func newManager(streams genericiooptions.IOStreams, run Runner) *cobra.Command {
	return managerCommand(streams, run, os.Getenv)
}

func managerCommand(streams genericiooptions.IOStreams, run Runner, env environment) *cobra.Command {
	m := &managing{}
	cmd := &cobra.Command{
		Use:   "manager",
		Short: "Run the controllers",
		Long: "Run the controllers of the chosen dialects until stopped by SIGINT or SIGTERM.\n\n" +
			"Settings come from the file given by --config, kind LockstepConfiguration; a flag that is given wins over " +
			"the file. The cluster is that of --kubeconfig, else $KUBECONFIG, else ~/.kube/config, else the one that this " +
			"process runs in. The Lease and the records are kept in --namespace, else $POD_NAMESPACE, else the " +
			"kubeconfig's or the pod's namespace.",
		Example: "  lockstep manager --dialects=reload\n" +
			"  lockstep manager --config lockstep.yaml --log-level=debug",
		Args: cobra.NoArgs,
	}
	m.addFlags(cmd.Flags())

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := m.configuration(cmd.Flags())
		if err != nil {
			return err
		}

		to, connectErr := connect(m.kubeconfig, env)
		c.Namespace = cmp.Or(c.Namespace, env("POD_NAMESPACE"), to.namespace)
		configuration.Default(c)

		if err := errors.Join(rejected(configuration.Validate(c), m.given(cmd.Flags())), connectErr); err != nil {
			return err
		}

		return run(cmd.Context(), to.config, c, newLogger(streams.ErrOut, c.Log))
	}

	return cmd
}

// managing are the flags of the manager.
type managing struct {
	kubeconfig, file string
	// values are those of the flags; what was not given is not to be looked at.
	values      settings
	carryMissed bool
	minInterval metav1.Duration
	flags       []setting
}

type settings = configv1alpha1.LockstepConfiguration

// setting is a field of the configuration that a flag sets.
type setting struct {
	flag, path string
	// set copies the flag's value.
	set func(to *settings)
}

// bind makes a flag of a field. The field function finds it in any configuration.
func bind[T any](
	m *managing,
	flag, path string,
	field func(*settings) *T,
	define func(value *T, name string),
) {
	define(field(&m.values), flag)

	m.flags = append(m.flags, setting{flag, path, func(to *settings) {
		*field(to) = *field(&m.values)
	}})
}

func (m *managing) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&m.kubeconfig, "kubeconfig", "", "path of the kubeconfig")
	fs.StringVar(&m.file, "config", "", "path of a LockstepConfiguration")

	text, list, boolean := texts(fs), lists(fs), booleans(fs)

	bind(m, "dialects", "dialects", func(c *settings) *[]string { return &c.Dialects },
		list("APIs to serve (default all: reload, graph, live)"))
	bind(m, "namespace", "namespace", func(c *settings) *string { return &c.Namespace },
		text("namespace of the Lease and the records"))
	bind(m, "metrics-bind-address", "metrics.bindAddress", func(c *settings) *string { return &c.Metrics.BindAddress },
		text(`host:port of /metrics and /live, "0" for none (default ":9090")`))
	bind(m, "health-probe-bind-address", "health.bindAddress",
		func(c *settings) *string { return &c.Health.BindAddress },
		text(`host:port of /healthz and /readyz, "0" for none (default "0")`))
	bind(m, "leader-elect", "leaderElection.enabled", func(c *settings) *bool { return &c.LeaderElection.Enabled },
		boolean("work only while holding the Lease"))
	bind(m, "log-format", "log.format", func(c *settings) *string { return (*string)(&c.Log.Format) },
		text("console or json (default console)"))
	bind(m, "log-level", "log.level", func(c *settings) *string { return (*string)(&c.Log.Level) },
		text("trace, debug, info, warn or error (default info)"))

	m.addReloadFlags(fs)
	m.addGraphFlags(fs)
	m.addLiveFlags(fs)
	m.addPointers(fs)
}

func (m *managing) addReloadFlags(fs *pflag.FlagSet) {
	text, list, boolean, number := texts(fs), lists(fs), booleans(fs), numbers(fs)

	bind(m, "strategy", "reload.strategy", func(c *settings) *string { return (*string)(&c.Reload.Strategy) },
		text("how a restart is written: env-vars or annotations (default env-vars)"))
	bind(m, "auto-reload-all", "reload.autoReloadAll", func(c *settings) *bool { return &c.Reload.AutoReloadAll },
		boolean("reload workloads that do not say whether they want it"))
	bind(m, "reload-on-create", "reload.reloadOnCreate", func(c *settings) *bool { return &c.Reload.ReloadOnCreate },
		boolean("act also when a source appears"))
	bind(m, "reload-on-delete", "reload.reloadOnDelete", func(c *settings) *bool { return &c.Reload.ReloadOnDelete },
		boolean("act also when a source disappears"))
	bind(m, "namespaces", "reload.namespaces", func(c *settings) *[]string { return &c.Reload.Namespaces },
		list("the only namespaces to serve (default all)"))
	bind(m, "namespaces-to-ignore", "reload.namespacesToIgnore",
		func(c *settings) *[]string { return &c.Reload.NamespacesToIgnore }, list("namespaces to leave out"))
	bind(m, "namespace-selector", "reload.namespaceSelector",
		func(c *settings) *[]string { return &c.Reload.NamespaceSelector }, list("labels that a namespace must have"))
	bind(m, "resource-label-selector", "reload.resourceLabelSelector",
		func(c *settings) *[]string { return &c.Reload.ResourceLabelSelector }, list("labels that a source must have"))
	bind(m, "workers", "reload.workers", func(c *settings) *int { return &c.Reload.Workers },
		number("how many workloads are written at the same time (default 16)"))
}

func (m *managing) addGraphFlags(fs *pflag.FlagSet) {
	text, list, boolean, number := texts(fs), lists(fs), booleans(fs), numbers(fs)

	bind(m, "graph-adopt", "graph.adopt", func(c *settings) *string { return (*string)(&c.Graph.Adopt) },
		text(`take over objects that are there already: "always", or "asked" where the template has `+
			`lockstep.dev/adopt: "true" (default asked)`))
	bind(m, "graph-deletion", "graph.definitionDeletion",
		func(c *settings) *string { return (*string)(&c.Graph.DefinitionDeletion) },
		text(`what a definition that is being deleted does with its instances: "refuse" to go, or "drain" them `+
			`(default refuse)`))
	bind(m, "graph-definition-selector", "graph.definitionSelector",
		func(c *settings) *[]string { return &c.Graph.DefinitionSelector },
		list("labels that a definition must have (default all definitions)"))
	bind(m, "graph-delete-kinds", "graph.deleteKinds",
		func(c *settings) *bool { return &c.Graph.DeleteKinds },
		boolean("delete the instances' kind with its definition"))
	bind(m, "graph-workers", "graph.workers", func(c *settings) *int { return &c.Graph.Workers },
		number("how many instances are reconciled at the same time (default 16)"))
	bind(m, "graph-writes", "graph.writes", func(c *settings) *int { return &c.Graph.Writes },
		number("how many objects are written at the same time (default 32)"))
	bind(m, "graph-omit-function", "graph.omitFunction", func(c *settings) *bool { return &c.Graph.OmitFunction },
		boolean("switch the CEL function omit() on"))
}

func (m *managing) addLiveFlags(fs *pflag.FlagSet) {
	bind(m, "live-workers", "live.workers", func(c *settings) *int { return &c.Live.Workers },
		numbers(fs)("how many LiveConfigs are handled at the same time (default 256)"))
	bind(m, "live-rook", "live.rook", func(c *settings) *string { return (*string)(&c.Live.Rook) },
		texts(fs)("serve the settings that Rook's CephClusters and CephObjectStores name: on or off (default off)"))
}

func texts(fs *pflag.FlagSet) func(usage string) func(*string, string) {
	return func(usage string) func(*string, string) {
		return func(v *string, name string) { fs.StringVar(v, name, "", usage) }
	}
}

func lists(fs *pflag.FlagSet) func(usage string) func(*[]string, string) {
	return func(usage string) func(*[]string, string) {
		return func(v *[]string, name string) { fs.StringSliceVar(v, name, nil, usage) }
	}
}

func booleans(fs *pflag.FlagSet) func(usage string) func(*bool, string) {
	return func(usage string) func(*bool, string) {
		return func(v *bool, name string) { fs.BoolVar(v, name, false, usage) }
	}
}

func numbers(fs *pflag.FlagSet) func(usage string) func(*int, string) {
	return func(usage string) func(*int, string) {
		return func(v *int, name string) { fs.IntVar(v, name, 0, usage) }
	}
}

// addPointers makes the flags of the fields that tell "not given" from their zero value.
func (m *managing) addPointers(fs *pflag.FlagSet) {
	fs.BoolVar(&m.carryMissed, "carry-missed", true, "carry at the start what changed while no manager ran")
	fs.DurationVar(&m.minInterval.Duration, "min-interval", 0,
		"least time between two rollouts of one workload, 0 for no limit (default 1s)")

	m.flags = append(
		m.flags,
		setting{"carry-missed", "reload.carryMissed", func(to *settings) {
			to.Reload.CarryMissed = &m.carryMissed
		}},
		setting{"min-interval", "reload.minInterval", func(to *settings) {
			to.Reload.MinInterval = &m.minInterval
		}},
	)
}

// configuration is the file, overlaid by the flags that were given.
func (m *managing) configuration(fs *pflag.FlagSet) (*settings, error) {
	c := &settings{}

	if m.file != "" {
		var err error
		if c, err = configuration.Load(m.file); err != nil {
			return nil, err
		}
	}

	for _, s := range m.flags {
		if fs.Changed(s.flag) {
			s.set(c)
		}
	}

	return c, nil
}

// given are the flags that were given, by the path of their field.
func (m *managing) given(fs *pflag.FlagSet) map[string]string {
	flags := map[string]string{}

	for _, s := range m.flags {
		if fs.Changed(s.flag) {
			flags[s.path] = s.flag
		}
	}

	return flags
}
