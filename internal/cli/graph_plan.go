package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	writes "github.com/lockstep-dev/lockstep/internal/apply"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/applyset"
	"github.com/lockstep-dev/lockstep/internal/graph/crd"
	"github.com/lockstep-dev/lockstep/internal/graph/manifest"
)

// planning is the verb plan.
type planning struct {
	files      *graphFiles
	connection *graphConnection
	instances  []string
	name       string
	exitCode   bool
}

func newGraphPlan(streams genericiooptions.IOStreams, env environment) *cobra.Command {
	p := &planning{}
	cmd := &cobra.Command{
		Use:   "plan -f FILE [-i FILE]",
		Short: "Show what a definition or an instance would change in the cluster",
		Long: `Shows what the manager would create, change and delete for an instance: each object goes through a server-side apply
that the server does not carry out (dry run), so that defaults and admission are in the result. Without --instance it shows so for every
instance of the definition that is in the cluster. Nothing is written. The content of Secrets is shown as digests, which are others each
time.

An object that reads what only the real change would make, such as a new resourceVersion, shows "` + afterApply + `" there.`,
		Example: `  lockstep graph plan -f rgd.yaml -i instance.yaml
  lockstep graph plan -f rgd.yaml --exit-code`,
		Args: cobra.NoArgs,
	}
	p.files = newGraphFiles(streams, cmd.Flags())
	p.connection = newGraphConnection(env, cmd.Flags())
	cmd.Flags().StringArrayVarP(&p.instances, "instance", "i", nil, "file or folder with instances, - for the standard input; may be repeated")
	cmd.Flags().StringVar(&p.name, "name", "", "without --instance: the definition, when the files have several")
	cmd.Flags().BoolVar(&p.exitCode, "exit-code", false, "status 1 also when there is something to do")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return p.connection.on(cmd.Context(), func(ctx context.Context, c *graphCluster) error {
			return p.run(ctx, c, streams.Out)
		})
	}

	return cmd
}

func (p *planning) run(ctx context.Context, c *graphCluster, w io.Writer) error {
	set, err := p.files.good(c.schemas)
	if err != nil {
		return err
	}

	instances, err := p.find(ctx, c, set)
	if err != nil {
		return err
	}

	show := showing{key: make([]byte, 32)}
	_, _ = rand.Read(show.key) // it cannot fail

	var total tally

	for _, kind := range slices.Compact(graphsOf(instances)) {
		total.failed += refusals(w, c, kind)
	}

	for _, i := range instances {
		v := &planned{cluster: c, showing: show, out: w, graph: i.graph, fresh: map[objectKey]bool{}}

		fmt.Fprintf(w, "# %s\n", titleOf(i.object))

		if err := v.plan(ctx, i.object); err != nil {
			return err
		}

		fmt.Fprintln(w)
		total.add(v.tally)
	}

	fmt.Fprintln(w, total.String())

	switch {
	case total.failed > 0:
		return fmt.Errorf("%s: see above", count(total.failed, "problem"))
	case p.exitCode && total.created+total.changed+total.deleted > 0:
		return errors.New("there is something to do (--exit-code)")
	}

	return nil
}

func graphsOf(instances []graphInstance) []*graph.Graph {
	graphs := make([]*graph.Graph, len(instances))
	for i := range instances {
		graphs[i] = instances[i].graph
	}

	return graphs
}

// refusals tells why the manager would not change the kind of the instances, and returns for how many reasons.
func refusals(w io.Writer, c *graphCluster, g *graph.Graph) int {
	live, there := c.schemas.CRD(g.CRD.Name)
	if !there {
		return 0
	}

	breaking := crd.Breaking(live, g.CRD)
	for _, b := range breaking {
		fmt.Fprintf(w, "! %s: breaking change: %s\n", g.CRD.Name, b)
	}

	return len(breaking)
}

// find returns the instances as they would be: those in the files, or all in the cluster.
func (p *planning) find(ctx context.Context, c *graphCluster, set *manifest.Set) ([]graphInstance, error) {
	if len(p.instances) == 0 {
		return p.all(ctx, c, set)
	}

	instances, err := p.files.instances(ctx, set, p.instances, c.namespace)
	if err != nil {
		return nil, err
	}

	for _, i := range instances {
		i.object.SetUID(afterApply)
		i.object.SetResourceVersion(afterApply)

		served, err := c.served(i.graph.Kind)
		if err != nil {
			return nil, err
		}

		if !served {
			continue
		}

		live, err := c.get(ctx, i.graph.Resource, i.object.GetNamespace(), i.object.GetName())
		if err != nil {
			return nil, err
		}

		if live != nil {
			inherit(i.object, live)
		}
	}

	return instances, nil
}

// inherit gives an instance in a file what the one in the cluster has and applying the file would leave.
func inherit(instance, live *unstructured.Unstructured) {
	labels, annotations := live.GetLabels(), live.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}

	if annotations == nil {
		annotations = map[string]string{}
	}

	maps.Copy(labels, instance.GetLabels())
	maps.Copy(annotations, instance.GetAnnotations())

	metadata, _, _ := unstructured.NestedMap(live.Object, "metadata")
	instance.Object["metadata"] = metadata
	instance.SetLabels(labels)
	instance.SetAnnotations(annotations)
}

// all returns the instances in the cluster.
func (p *planning) all(ctx context.Context, c *graphCluster, set *manifest.Set) ([]graphInstance, error) {
	d, err := pick(set, p.name)
	if err != nil {
		return nil, err
	}

	served, err := c.served(d.Graph.Kind)
	if err != nil || !served {
		return nil, err
	}

	found, err := c.list(ctx, d.Graph.Resource, p.connection.namespace, "")
	if err != nil {
		return nil, err
	}

	instances := make([]graphInstance, len(found))

	for i, live := range found {
		object, err := manifest.Admit(ctx, d.Graph.CRD, live)
		if err != nil {
			return nil, fmt.Errorf("%s does not fit the definition any more: %w", titleOf(live), err)
		}

		instances[i] = graphInstance{object, d.Graph}
	}

	return instances, nil
}

// tally is how much there is to do.
type tally struct{ created, changed, deleted, unchanged, unknown, failed int }

func (t *tally) add(o tally) {
	t.created += o.created
	t.changed += o.changed
	t.deleted += o.deleted
	t.unchanged += o.unchanged
	t.unknown += o.unknown
	t.failed += o.failed
}

func (t *tally) String() string {
	text := fmt.Sprintf("%d to create, %d to change, %d to delete, %d unchanged", t.created, t.changed, t.deleted, t.unchanged)
	if t.unknown > 0 {
		text += fmt.Sprintf(", %d not known yet", t.unknown)
	}

	if t.failed > 0 {
		text += fmt.Sprintf(", %d failed", t.failed)
	}

	return text
}

// planned is what would become of one instance.
type planned struct {
	tally
	showing

	cluster  *graphCluster
	out      io.Writer
	graph    *graph.Graph
	instance *unstructured.Unstructured
	// fresh are the objects that would be created.
	fresh map[objectKey]bool
}

// afterApply stands for what only the real change would make. It may stand in a label.
const afterApply = "known-after-apply"

func (v *planned) plan(ctx context.Context, instance *unstructured.Unstructured) error {
	v.instance = instance
	pass := walkGraph(ctx, v.graph, instance, v)
	reports := pass.Reports()

	for i := range reports {
		r := &reports[i]

		switch {
		case r.State == graph.NodeError:
			v.failed++
			fmt.Fprintf(v.out, "! %s: %s\n", r.Node.ID, r.Err)
		case r.State == graph.NodeSynced || r.State == graph.NodeSkipped:
		case r.Resolved:
			fmt.Fprintf(v.out, "? %s is not known to be ready: %s\n", r.Node.ID, comment(r.Message))
		default:
			v.unknown++
			fmt.Fprintf(v.out, "? %s: %s\n", r.Node.ID, comment(holdUp(r, reports)))
		}
	}

	if instance.GetUID() == afterApply {
		return nil
	}

	return v.prune(ctx, reports)
}

func (v *planned) read(ctx context.Context, n *graph.Node, r graph.Reference) graph.Outcome {
	served, err := v.cluster.served(n.GVK)
	if err != nil || !served {
		return graph.Outcome{Err: err}
	}

	return v.cluster.read(ctx, n, r)
}

// make shows what applying the objects would do.
func (v *planned) make(ctx context.Context, n *graph.Node, desired []*unstructured.Unstructured) graph.Outcome {
	served, err := v.cluster.served(n.GVK)
	if err != nil {
		return graph.Outcome{Err: err}
	}

	outcome := graph.Outcome{Objects: make([]*unstructured.Unstructured, len(desired))}

	for i, o := range desired {
		applyset.Mark(o, v.instance, n, i, len(desired))

		if !served {
			outcome.Objects[i], err = o, v.show(n, nil, o, "its kind is not served yet")
		} else {
			outcome.Objects[i], err = v.apply(ctx, n, o)
		}

		outcome.Err = errors.Join(outcome.Err, err)
	}

	return outcome
}

// apply returns the object as it would be.
func (v *planned) apply(ctx context.Context, n *graph.Node, desired *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live, err := v.cluster.get(ctx, n.Resource, desired.GetNamespace(), desired.GetName())
	if err != nil {
		return nil, err
	}

	note := ""

	if live != nil {
		if note, err = ownership(live, v.instance, n); err != nil {
			return nil, err
		}
	}

	writer := v.cluster.objects
	if v.graph.ServiceAccount != "" {
		writer = writer.As(v.instance.GetNamespace(), v.graph.ServiceAccount)
	}

	after, err := writer.Apply(ctx, n.Resource, desired, applyset.OwnerChildren, writes.DryRun())

	switch {
	case apierrors.IsNotFound(err) && v.fresh[objectKey{schema.GroupKind{Kind: "Namespace"}, "", desired.GetNamespace()}]:
		after, note = desired, "as rendered: its namespace is not there yet"
	case err != nil:
		return nil, err
	}

	return after, v.show(n, live, after, note)
}

// ownership says what is to be said about who has the object, or why it is not touched.
func ownership(live, instance *unstructured.Unstructured, n *graph.Node) (string, error) {
	switch set := live.GetLabels()[applyset.LabelPartOf]; {
	case set == applyset.ID(instance), set == "" && n.Adopt:
		return "", nil
	case set != "":
		return "", fmt.Errorf("%s belongs to ApplySet %s, cannot reassign it", titleOf(live), set)
	}

	return "it exists and is not this instance's: taken over if the manager adopts always, else refused", nil
}

// show writes the difference, and counts it.
func (v *planned) show(n *graph.Node, live, after *unstructured.Unstructured, note string) error {
	before, err := v.text(live)
	if err != nil {
		return err
	}

	now, err := v.text(after)
	if err != nil {
		return err
	}

	if note != "" {
		note = ": " + note
	}

	switch {
	case live == nil:
		v.created++
		v.fresh[objectKeyOf(after)] = true
		fmt.Fprintf(v.out, "+ %s (%s)%s\n", titleOf(after), n.ID, note)
		unstructured.RemoveNestedField(after.Object, "metadata", "creationTimestamp")
		after.SetUID(afterApply)
	case before == now:
		v.unchanged++
		fmt.Fprintf(v.out, "= %s (%s)%s\n", titleOf(after), n.ID, note)

		return nil
	default:
		v.changed++
		fmt.Fprintf(v.out, "~ %s (%s)%s\n", titleOf(after), n.ID, note)
	}

	// What depends on the version would see another one.
	after.SetResourceVersion(afterApply)
	fmt.Fprintf(v.out, "--- live\n+++ after\n%s", unified(before, now))

	return nil
}

// prune shows what the instance has and its graph does not want any more.
func (v *planned) prune(ctx context.Context, reports []graph.NodeReport) error {
	wanted, kinds := map[objectKey]bool{}, map[schema.GroupKind]schema.GroupVersionResource{}
	keep := map[string]bool{}

	for i := range reports {
		r := &reports[i]
		if r.Node.External {
			continue
		}

		kinds[r.Node.GVK.GroupKind()] = r.Node.Resource
		settled := r.State == graph.NodeSynced || r.State == graph.NodeWaiting || r.State == graph.NodeSkipped
		keep[r.Node.ID] = !r.Resolved || !settled

		for _, o := range r.Desired {
			wanted[objectKeyOf(o)] = true
		}
	}

	for _, kind := range applyset.Kinds(v.instance) {
		if found, err := v.cluster.schemas.Resource(kind); err == nil && kinds[kind].Empty() {
			kinds[kind] = found.Resource
		}
	}

	for _, kind := range slices.SortedFunc(maps.Keys(kinds), func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) }) {
		if err := v.left(ctx, kinds[kind], wanted, keep); err != nil {
			return err
		}
	}

	return nil
}

// left shows the leftovers of a kind.
func (v *planned) left(ctx context.Context, resource schema.GroupVersionResource, wanted map[objectKey]bool, keep map[string]bool) error {
	found, err := v.cluster.list(ctx, resource, "", applyset.LabelPartOf+"="+applyset.ID(v.instance))
	if apierrors.IsNotFound(err) {
		return nil // with the kind, the objects are gone
	}

	if err != nil {
		return err
	}

	for _, o := range found {
		switch node := o.GetLabels()[applyset.LabelNode]; {
		case wanted[objectKeyOf(o)]:
		case keep[node]:
			fmt.Fprintf(v.out, "? %s (%s): stays until it is known what is wanted\n", titleOf(o), node)
		default:
			v.deleted++
			fmt.Fprintf(v.out, "- %s (%s)\n", titleOf(o), node)
		}
	}

	return nil
}
