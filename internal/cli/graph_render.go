package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/manifest"
)

// rendering is the verb render.
type rendering struct {
	files     *graphFiles
	instances []string
	with      []string
}

func newGraphRender(streams genericiooptions.IOStreams) *cobra.Command {
	r := &rendering{}
	cmd := &cobra.Command{
		Use:   "render -f FILE -i FILE",
		Short: "Print the objects of an instance, without a cluster",
		Long: `Prints the objects that stand behind an instance, in the order in which they are applied, without the labels that the
manager adds. The instance is checked and gets its defaults first.

Every object counts as made exactly as it is rendered. What the cluster adds, such as a status or an external object, is
there if --with gives it; what could not be rendered without is listed at the end, as comments.`,
		Example: `  lockstep graph render -f rgd.yaml -i instance.yaml
  lockstep graph render -f rgd.yaml -i instance.yaml --with live.yaml`,
		Args: cobra.NoArgs,
	}
	r.files = newGraphFiles(streams, cmd.Flags())
	cmd.Flags().StringArrayVarP(&r.instances, "instance", "i", nil, "file or folder with instances, - for the standard input; may be repeated")
	cmd.Flags().StringArrayVar(&r.with, "with", nil, "file or folder with objects as they are in a cluster; may be repeated")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context(), streams.Out) }

	return cmd
}

func (r *rendering) run(ctx context.Context, w io.Writer) error {
	set, err := r.files.good(nil)
	if err != nil {
		return err
	}

	instances, err := r.files.instances(ctx, set, r.instances, "default")
	if err != nil {
		return err
	}

	with, problems, err := r.files.documents(r.with)
	if err != nil {
		return err
	}

	if errs, _ := printProblems(r.files.streams.ErrOut, problems); errs > 0 {
		return fmt.Errorf("the files of --with have %s: see above", count(errs, "problem"))
	}

	var failed error

	for _, i := range instances {
		world, err := newGiven(with, set, cmp.Or(i.object.GetNamespace(), "default"))
		if err != nil {
			return err
		}

		// The instance's own status is what the cluster adds to it too.
		pass := walkGraph(ctx, i.graph, i.object, world)
		failed = errors.Join(failed, printRendered(w, i.object, pass))
	}

	return failed
}

// graphInstance is an instance in a file, with its graph.
type graphInstance struct {
	object *unstructured.Unstructured
	graph  *graph.Graph
}

// instances reads instances of kinds that the definitions make, checks them and gives them their defaults.
func (f *graphFiles) instances(ctx context.Context, set *manifest.Set, paths []string, namespace string) ([]graphInstance, error) {
	if len(paths) == 0 {
		return nil, errors.New("no instance is given: use --instance (-i)")
	}

	documents, problems, err := f.documents(paths)
	if err != nil {
		return nil, err
	}

	var instances []graphInstance

	for _, d := range documents {
		definition := set.For(d.Object.GroupVersionKind())
		if definition == nil {
			continue
		}

		object, err := manifest.Admit(ctx, definition.Graph.CRD, d.Object)
		if err != nil {
			problems = append(problems, d.Problems(err)...)

			continue
		}

		if definition.Graph.Namespaced && object.GetNamespace() == "" {
			object.SetNamespace(namespace)
		}

		instances = append(instances, graphInstance{object, definition.Graph})
	}

	if errs, _ := printProblems(f.streams.ErrOut, problems); errs > 0 {
		return nil, fmt.Errorf("the instances have %s: see above", count(errs, "problem"))
	}

	if len(instances) == 0 {
		return nil, fmt.Errorf("%s: no instance of %s", strings.Join(paths, ", "), strings.Join(kindsOf(set), ", "))
	}

	return instances, nil
}

func kindsOf(set *manifest.Set) []string {
	kinds := make([]string, len(set.Definitions))
	for i, d := range set.Definitions {
		kinds[i] = d.Graph.Kind.Kind + " in " + d.Graph.Kind.GroupVersion().String()
	}

	return kinds
}

// printRendered writes the objects in apply order, and what is missing as comments. The error is what failed.
func printRendered(w io.Writer, instance *unstructured.Unstructured, pass *graph.Pass) error {
	reports := pass.Reports()
	inOrder := slices.SortedStableFunc(slices.Values(reports), func(a, b graph.NodeReport) int {
		return cmp.Compare(a.Node.ApplyOrder, b.Node.ApplyOrder)
	})

	for i := range inOrder {
		for n, o := range inOrder[i].Desired {
			place := ""
			if len(inOrder[i].Desired) > 1 {
				place = fmt.Sprintf(" (%d of %d)", n+1, len(inOrder[i].Desired))
			}

			text, err := yaml.Marshal(o.Object)
			if err != nil {
				return fmt.Errorf("write %s: %w", titleOf(o), err)
			}

			fmt.Fprintf(w, "---\n# %s%s\n%s", inOrder[i].Node.ID, place, text)
		}
	}

	var failed []error

	for i := range reports {
		r := &reports[i]

		switch {
		case r.State == graph.NodeError:
			failed = append(failed, fmt.Errorf("%s: %w", titleOf(instance), r.Err))
		case r.State == graph.NodeSkipped:
			fmt.Fprintf(w, "# %s is not wanted\n", r.Node.ID)
		case r.State == graph.NodeSynced:
		case r.Resolved:
			fmt.Fprintf(w, "# %s is not known to be ready: %s\n", r.Node.ID, comment(r.Message))
		case r.Node.External:
			fmt.Fprintf(w, "# not read: %s: %s (--with)\n", r.Node.ID, comment(holdUp(r, reports)))
		default:
			fmt.Fprintf(w, "# not rendered: %s: %s\n", r.Node.ID, comment(holdUp(r, reports)))
		}
	}

	for _, warning := range pass.Scope().Warnings() {
		fmt.Fprintf(w, "# warning: %s\n", comment(warning.Message))
	}

	return errors.Join(failed...)
}

// comment keeps a text in its line.
func comment(text string) string { return strings.ReplaceAll(text, "\n", " ") }
