package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lockstep-dev/lockstep/internal/demo"
	"github.com/lockstep-dev/lockstep/internal/localplane"
)

// demoOptions are the flags of "lockstep demo".
type demoOptions struct {
	genericiooptions.IOStreams

	graph, live, keep, plain bool
	bin                      string
}

// newDemo returns "lockstep demo", which shows a dialect at work.
func newDemo(streams genericiooptions.IOStreams) *cobra.Command {
	o := &demoOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Rotate a Secret on a control plane of its own and watch it arrive",
		Long: `Start a control plane of its own with a small application, run the manager, rotate a Secret that the
application reads, and show who moves to the new revision and when; then again with a Secret that is rotated
while no manager runs. Fails unless all dependents have moved, once, and nothing else has.

With --graph, show resource graphs instead: a definition puts a Secret's resourceVersion into a pod template, and the
Secret is rotated; and a value that comes late travels through three definitions that build on each other.

With --live, show live settings instead, on a Ceph monitor, a PostgreSQL and a Redis of its own: a Secret with a setting for
each is edited; one of them gets a value out of its range; a store is frozen in the middle of a change. The servers are
those of Debian's packages, which hack/install-stores installs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.graph, "graph", false, "show resource graphs instead of reloads")
	flags.BoolVar(&o.live, "live", false, "show live settings of three real stores instead of reloads")
	flags.BoolVar(&o.keep, "keep", false, "leave the control plane and the manager running, and say how to use them")
	flags.BoolVar(&o.plain, "plain", false, "print a line for each step instead of a table that changes in place")
	flags.StringVar(&o.bin, "bin", "", "folder of the control plane's binaries, as for lockstep local up")

	return cmd
}

// check says which flags do not go together.
func (o *demoOptions) check() error {
	switch {
	case o.graph && o.live:
		return errors.New("--graph and --live are two demonstrations: give one of them")
	case o.live && o.keep:
		return errors.New("--keep does not go with --live: the store servers end with this command")
	default:
		return nil
	}
}

func (o *demoOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this command's binary: %w", err)
	}
	dir := filepath.Join(".lockstep", "demo")
	if state, err := localplane.Inspect(dir); err == nil && o.keep && state.Supervisor.Alive() {
		return fmt.Errorf("an earlier demo was kept in %[1]s and still runs; end it with `lockstep local down --dir %[1]s`", dir)
	}
	// What the libraries say of a watch that ends with its server is no part of the story.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	options := demo.Options{
		Graph: o.graph, Live: o.live, Keep: o.keep, Dir: dir, Bin: o.bin,
		Executable: exe, Env: os.Environ(), Out: o.Out, Clock: clock.RealClock{},
	}
	if terminal, ok := o.Out.(*os.File); ok && !o.plain {
		options.Terminal = func() (int, int, bool) {
			width, height, err := term.GetSize(int(terminal.Fd()))

			return width, height, err == nil
		}
	}
	kept, err := demo.Run(ctx, options)
	if kept != nil {
		o.explain(kept, exe)
	}
	if err != nil {
		return errors.Join(errors.New("the demo failed"), err)
	}

	return nil
}

// explain says how to use what was left running.
func (o *demoOptions) explain(k *demo.Kept, exe string) {
	kubectl := "kubectl"
	if _, err := os.Stat(k.Kubectl); err == nil {
		kubectl = shellWord(k.Kubectl)
	}
	stop := fmt.Sprintf("%s local down --dir %s", shellWord(exe), shellWord(k.Dir))
	if k.PID != 0 {
		stop = fmt.Sprintf("kill %d; %s", k.PID, stop)
	}
	fmt.Fprintf(o.Out, `
Everything is left running. Try it by hand:

  export KUBECONFIG=%[1]s
  alias kubectl=%[2]s
  kubectl --namespace=%[3]s get %[9]s
  kubectl --namespace=%[3]s patch secret %[4]s --patch='{"stringData":{"%[5]s":"another one"}}'
  kubectl --namespace=%[3]s events --types=Normal
  curl --silent %[6]s | grep lockstep_
  less %[7]s

Stop it:

  %[8]s
`, shellWord(k.Kubeconfig), kubectl, k.Namespace, k.Secret, k.Key, k.Metrics, shellWord(k.Log), stop, k.Kinds)
}
