package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/lockstep-dev/lockstep/internal/graph/diagram"
)

func newGraphDiagram(streams genericiooptions.IOStreams) *cobra.Command {
	var output, name string

	cmd := &cobra.Command{
		Use:   "diagram -f FILE",
		Short: "Show what depends on what",
		Long: `Shows the resources of a definition in layers, each after what it depends on, and which fields of which resource
every other one reads.`,
		Example: `  lockstep graph diagram -f rgd.yaml
  lockstep graph diagram -f rgd.yaml -o svg > graph.svg`,
		Args: cobra.NoArgs,
	}
	files := newGraphFiles(streams, cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "text", "svg, dot or text")
	cmd.Flags().StringVar(&name, "name", "", "the definition to show, when the files have several")

	cmd.RunE = func(*cobra.Command, []string) error {
		write, known := map[string]func(*diagram.Diagram, io.Writer) error{
			"svg": (*diagram.Diagram).SVG, "dot": (*diagram.Diagram).DOT, "text": (*diagram.Diagram).Text,
		}[output]
		if !known {
			return fmt.Errorf("--output %q is not known: accepted are svg, dot and text", output)
		}

		set, err := files.good(nil)
		if err != nil {
			return err
		}

		d, err := pick(set, name)
		if err != nil {
			return err
		}

		return write(diagram.New(d.Definition, d.Graph), streams.Out)
	}

	return cmd
}
