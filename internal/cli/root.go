package cli

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// New returns the lockstep command with all its verbs, reading and writing the given streams. The verbs that run
// a manager call run.
func New(streams genericiooptions.IOStreams, run Runner) *cobra.Command {
	root := &cobra.Command{
		Use:           "lockstep",
		Short:         "Carry a change of configuration to everything that depends on it",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.AddCommand(
		newDemo(streams),
		newGraph(streams),
		newGraphController(streams, run),
		newInstall(streams),
		newLocal(streams),
		newManager(streams, run),
		newReload(streams, run),
		newUninstall(streams),
		newVersion(streams),
	)

	return root
}
