package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/lockstep-dev/lockstep/internal/graph/manifest"
)

func newGraphValidate(streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Check definitions, without a cluster",
		Long: `Checks definitions as the manager does: names, fields against the schemas of their kinds, and the types of all
expressions. Each problem is told with its file, line and column. The status is 1 if there is one.`,
		Example: `  lockstep graph validate -f rgd.yaml --crds crds/
  kubectl get rgd my-app -o yaml | lockstep graph validate -f -`,
		Args: cobra.NoArgs,
	}
	files := newGraphFiles(streams, cmd.Flags())

	cmd.RunE = func(*cobra.Command, []string) error {
		set, problems, err := files.read(nil)
		if err != nil {
			return err
		}

		errs, warnings := printProblems(streams.Out, set.Problems(problems...))

		for _, d := range set.Definitions {
			if d.Graph != nil {
				fmt.Fprintln(streams.Out, valid(d))
			}
		}

		fmt.Fprintf(streams.Out, "%s: %s, %s\n", count(len(set.Definitions), "definition"), count(errs, "problem"), count(warnings, "warning"))

		if errs > 0 {
			return fmt.Errorf("the definitions have %s", count(errs, "problem"))
		}

		return nil
	}

	return cmd
}

func valid(d *manifest.Definition) string {
	kind := d.Graph.Kind

	return fmt.Sprintf("%s: the definition %s of %s in %s is valid, with %s",
		d.File, d.Graph.Name, kind.Kind, kind.GroupVersion(), count(len(d.Graph.Nodes), "resource"))
}
