package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/lockstep-dev/lockstep/config"
	"github.com/lockstep-dev/lockstep/internal/install"
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

  # What would be applied, without a cluster:
  lockstep install --image=IMAGE --output=yaml`,
		Args: cobra.NoArgs,
	}

	common := newInstalling(streams, cmd.Flags())
	cmd.Flags().StringSliceVar(&what.Dialects, "dialects", []string{"reload"}, "dialects to serve, separated by commas")
	cmd.Flags().StringVar(&what.Image, "image", "", "container image of the manager; none leaves the manager out")
	cmd.Flags().BoolVar(&how.DryRun, "dry-run", false, "ask the server what would happen, and change nothing")
	cmd.Flags().BoolVar(&how.Force, "force-conflicts", false, "take over fields that somebody else owns")
	cmd.Flags().StringVarP(&output, "output", "o", "", "yaml: print the manifests and use no cluster")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		what.Namespace = common.namespace

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
			err := i.Install(ctx, objects, how)
			if apierrors.IsConflict(err) {
				return fmt.Errorf("%w: --force-conflicts takes them over", err)
			}

			return err
		})
	}

	return cmd
}

func newUninstall(streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take away from a cluster what install put there",
		Long: `Deletes what "lockstep install" applied, for every dialect, and what the manager kept beside it. Workloads
are left as they are. What somebody else made is kept, and so is a namespace that holds it.`,
		Args: cobra.NoArgs,
	}
	common := newInstalling(streams, cmd.Flags())

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dialects, err := install.Dialects(config.Files)
		if err != nil {
			return err
		}

		// Any image will do: the manager is known by its name.
		objects, err := install.Render(config.Files, install.Options{
			Dialects: dialects, Namespace: common.namespace, Image: "any",
		})
		if err != nil {
			return err
		}

		return common.do(cmd.Context(), false, func(ctx context.Context, i *install.Installer) error {
			return i.Uninstall(ctx, objects)
		})
	}

	return cmd
}
