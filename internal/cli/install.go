package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	configv1alpha1 "github.com/lockstep-dev/lockstep/api/config/v1alpha1"
	"github.com/lockstep-dev/lockstep/config"
	"github.com/lockstep-dev/lockstep/internal/configuration"
	"github.com/lockstep-dev/lockstep/internal/install"
)

// How the graph dialect gets the rights on what its graphs make.
const (
	rbacAggregation  = "aggregation"
	rbacUnrestricted = "unrestricted"
)

// installing are the flags and streams that installing and uninstalling share.
type installing struct {
	streams genericiooptions.IOStreams
	// cluster reads the kubeconfig like kubectl does.
	cluster   *genericclioptions.ConfigFlags
	namespace string
	timeout   time.Duration
}

func newInstalling(streams genericiooptions.IOStreams, flags *pflag.FlagSet) *installing {
	i := &installing{
		streams: streams,
		cluster: &genericclioptions.ConfigFlags{KubeConfig: new(string), Context: new(string)},
	}
	i.cluster.AddFlags(flags)
	flags.StringVarP(&i.namespace, "namespace", "n", install.DefaultNamespace, "namespace of the manager")
	flags.DurationVar(&i.timeout, "timeout", time.Minute, "how long to wait for the cluster in all")

	return i
}

// addApplyFlags makes the flags of installing that its options hold as they are.
func addApplyFlags(flags *pflag.FlagSet, what *install.Options, how *install.ApplyOptions) {
	flags.StringSliceVar(&what.Dialects, "dialects", configuration.Dialects(), "dialects to serve, separated by commas")
	flags.StringVar(&what.Image, "image", "", "container image of the manager; none leaves the manager out")
	flags.BoolVar(&how.DryRun, "dry-run", false, "ask the server what would happen, and change nothing")
	flags.BoolVar(&how.Force, "force-conflicts", false, "take over fields that somebody else owns")
}

// do runs one action on the cluster, within the time that is allowed for it.
func (i *installing) do(ctx context.Context, dryRun bool, act func(context.Context, *install.Installer) error) error {
	cfg, err := i.cluster.ToRESTConfig()
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}

	installer, err := install.New(cfg, func(r install.Result) { printResult(i.streams.Out, r, dryRun) })
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeoutCause(ctx, i.timeout,
		fmt.Errorf("not done after %s (--timeout): run it again to go on", i.timeout))
	defer cancel()

	return act(ctx, installer)
}

func printResult(w io.Writer, r install.Result, dryRun bool) {
	line := install.Name(r.Object) + " " + string(r.Outcome)
	if r.Note != "" {
		line += ": " + r.Note
	}

	if dryRun {
		line += " (dry run)"
	}

	_, _ = fmt.Fprintln(w, line)
}

func newInstall(streams genericiooptions.IOStreams) *cobra.Command {
	var (
		what   install.Options
		how    install.ApplyOptions
		output string
		given  choices
	)

	cmd := &cobra.Command{
		Use:   "install",
		Short: "Put what Lockstep needs on a cluster",
		Long: `Applies the definitions, policies and rights that the dialects need, and with --image the manager itself.
It may be repeated: what is as it should be stays untouched.`,
		Example: `  # The rights alone, for a manager that runs elsewhere:
  lockstep install

  # The manager too:
  lockstep install --image=IMAGE

  # With every right on every kind, so that each definition of a graph works at once:
  lockstep install --image=IMAGE --graph-rbac=unrestricted

  # What would be applied, without a cluster:
  lockstep install --image=IMAGE --output=yaml`,
		Args: cobra.NoArgs,
	}

	common := newInstalling(streams, cmd.Flags())
	addApplyFlags(cmd.Flags(), &what, &how)
	given.addFlags(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "", "yaml: print the manifests and use no cluster")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		what.Namespace = common.namespace

		if err := given.choose(&what); err != nil {
			return err
		}

		objects, err := install.Render(config.Files, what)
		if err != nil {
			return err
		}

		switch output {
		case "":
		case "yaml":
			return install.Write(streams.Out, objects)
		default:
			return fmt.Errorf("--output %q is not known: accepted is yaml", output)
		}

		return common.do(cmd.Context(), how.DryRun, func(ctx context.Context, i *install.Installer) error {
			return installAll(ctx, i, what, how, objects)
		})
	}

	return cmd
}

// choices are the flags of installing whose values are words.
type choices struct{ rbac, rook string }

func (c *choices) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.rbac, "graph-rbac", rbacAggregation,
		"rights on the objects of graphs: aggregation, from ClusterRoles labelled rbac.kro.run/aggregate-to-controller, "+
			"or unrestricted")
	fs.StringVar(&c.rook, "live-rook", string(configv1alpha1.SwitchOff),
		"serve the settings that Rook's CephClusters and CephObjectStores name: on or off")
}

func (c *choices) choose(what *install.Options) (err error) {
	if what.Unrestricted, err = secondOf("graph-rbac", c.rbac, rbacAggregation, rbacUnrestricted); err != nil {
		return err
	}

	what.Rook, err = secondOf("live-rook", c.rook, string(configv1alpha1.SwitchOff), string(configv1alpha1.SwitchOn))

	return err
}

// secondOf tells whether the value of a flag is the second of the two that there are.
func secondOf(flag, value, first, second string) (bool, error) {
	if value != first && value != second {
		return false, fmt.Errorf("--%s %q is not known: accepted are %s, %s", flag, value, first, second)
	}

	return value == second, nil
}

// installAll puts the objects on the cluster and takes away those of an earlier installation that these replace.
func installAll(
	ctx context.Context, i *install.Installer, what install.Options, how install.ApplyOptions,
	objects []*unstructured.Unstructured,
) error {
	obsolete, err := install.Obsolete(config.Files, what)
	if err != nil {
		return err
	}

	err = i.Install(ctx, objects, how)
	if apierrors.IsConflict(err) {
		return fmt.Errorf("%w: --force-conflicts takes them over", err)
	}

	if err != nil {
		return err
	}

	return i.Withdraw(ctx, obsolete, how.DryRun)
}

func newUninstall(streams genericiooptions.IOStreams) *cobra.Command {
	var how install.UninstallOptions

	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take away from a cluster what install put there",
		Long: `Deletes what "lockstep install" applied, for every dialect, and what the manager kept beside it. Workloads
are left as they are. What somebody else made is kept, and so are a namespace that holds it and a definition that has
objects: the output names them. With --delete-objects these are deleted first, while the manager is still there, and
then the definitions.`,
		Args: cobra.NoArgs,
	}
	common := newInstalling(streams, cmd.Flags())
	cmd.Flags().BoolVar(&how.DeleteObjects, "delete-objects", false,
		"delete the objects of the installed definitions first, and with them what they stand for")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dialects, err := install.Dialects(config.Files)
		if err != nil {
			return err
		}

		// Any image will do: the manager is known by its name.
		objects, err := install.Render(config.Files, install.Options{
			Dialects: dialects, Namespace: common.namespace, Image: "any", Unrestricted: true, Rook: true,
		})
		if err != nil {
			return err
		}

		return common.do(cmd.Context(), false, func(ctx context.Context, i *install.Installer) error {
			return i.Uninstall(ctx, objects, how)
		})
	}

	return cmd
}
