package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/applyset"
)

func newGraphExplain(streams genericiooptions.IOStreams, env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain KIND NAME",
		Short: "Show how far an instance is, what it waits for, and what last moved it",
		Long: `Shows the resources of an instance: in which state each is, what it waits for, since when, and which change last moved
it. That is the newest write of somebody else to the instance, to its definition or to a resource that it depends on, before it was last
applied. KIND may have its group, as in webapps.kro.run, and may be joined with the name: webapp/shop.`,
		Example: `  lockstep graph explain webapp shop -n prod
  lockstep graph explain webapps.kro.run/shop -n prod`,
		Args: cobra.RangeArgs(1, 2), //nolint:mnd // with the name joined or apart
	}
	connection := newGraphConnection(env, cmd.Flags())

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind, name, found := strings.Cut(strings.Join(args, "/"), "/")
		if !found || kind == "" || name == "" || strings.Contains(name, "/") {
			return fmt.Errorf("%q names no instance: accepted are KIND NAME and KIND/NAME", strings.Join(args, " "))
		}

		return connection.on(cmd.Context(), func(ctx context.Context, c *graphCluster) error {
			return explain(ctx, c, kind, name, streams.Out)
		})
	}

	return cmd
}

func explain(ctx context.Context, c *graphCluster, kind, name string, w io.Writer) error {
	instance, err := c.instance(ctx, kind, name)
	if err != nil {
		return err
	}

	definition, revision, err := c.definitionOf(ctx, instance)
	if err != nil {
		return err
	}

	compiled := &krov1alpha1.ResourceGraphDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(definition.Object, compiled); err != nil {
		return fmt.Errorf("read the definition %s: %w", definition.GetName(), err)
	}

	number := "no revision yet"

	if revision != nil {
		n, _, _ := unstructured.NestedInt64(revision.Object, "spec", "revision")
		number = fmt.Sprintf("revision %d", n)

		snapshot, _, _ := unstructured.NestedMap(revision.Object, "spec", "snapshot", "spec")
		compiled.Spec = krov1alpha1.ResourceGraphDefinitionSpec{}

		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(snapshot, &compiled.Spec); err != nil {
			return fmt.Errorf("read the revision %s: %w", revision.GetName(), err)
		}
	}

	// Whether the manager admits omit() is not known here; if it does not, it has said so on the definition.
	g, err := graph.Compile(compiled, c.schemas, graph.Options{Omit: true})
	if err != nil {
		return fmt.Errorf("compile the definition %s (%s): %w", definition.GetName(), number, err)
	}

	e := &explained{
		cluster: c, graph: g, instance: instance, definition: definition,
		objects: map[string][]*unstructured.Unstructured{}, pending: map[string]string{},
	}
	pass := walkGraph(ctx, g, instance, e)

	state, _, _ := unstructured.NestedString(instance.Object, "status", "state")
	state2, _, _ := unstructured.NestedString(definition.Object, "status", "state")

	fmt.Fprintf(w, "%s: %s\n", titleOf(instance), cmp.Or(state, "not seen by a manager yet"))
	fmt.Fprintf(w, "  definition %s, %s, %s\n", definition.GetName(), number, cmp.Or(state2, "not seen by a manager yet"))

	for _, c := range conditionsOf(instance) {
		if c.Status != metav1.ConditionTrue {
			fmt.Fprintf(w, "  %s=%s since %s: %s: %s\n", c.Type, c.Status, when(c.LastTransitionTime.Time), c.Reason, comment(c.Message))
		}
	}

	fmt.Fprintln(w)

	return e.table(w, pass.Reports())
}

// instance finds the instance of a kind by any of the kind's names.
func (c *graphCluster) instance(ctx context.Context, kind, name string) (*unstructured.Unstructured, error) {
	mapper := restmapper.NewShortcutExpander(
		restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.discovery)), c.discovery, nil)

	full, plain := schema.ParseResourceArg(strings.ToLower(kind))
	found := schema.GroupVersionResource{}

	err := error(&meta.NoResourceMatchError{})
	if full != nil {
		found, err = mapper.ResourceFor(*full)
	}

	if err != nil {
		found, err = mapper.ResourceFor(plain.WithVersion(""))
	}

	if err != nil {
		return nil, fmt.Errorf("find the kind %q: %w", kind, err)
	}

	gvk, err := mapper.KindFor(found)
	if err != nil {
		return nil, fmt.Errorf("find the kind %q: %w", kind, err)
	}

	k, err := c.schemas.Kind(gvk)
	if err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", gvk.GroupKind(), err)
	}

	namespace := ""
	if k.Namespaced {
		namespace = c.namespace
	}

	instance, err := c.get(ctx, k.Resource, namespace, name)
	if err == nil && instance == nil {
		err = fmt.Errorf("there is no %s %s", k.Resource.GroupResource(), strings.TrimPrefix(namespace+"/"+name, "/"))
	}

	return instance, err
}

// definitionOf returns the definition that makes the kind of an instance, and its newest revision, if it has one.
func (c *graphCluster) definitionOf(ctx context.Context, instance *unstructured.Unstructured) (definition, revision *unstructured.Unstructured, err error) {
	definitions, err := c.list(ctx, krov1alpha1.GroupVersion().WithResource("resourcegraphdefinitions"), "", "")
	if err != nil {
		return nil, nil, err
	}

	gvk := instance.GroupVersionKind()

	for _, d := range definitions {
		kind, _, _ := unstructured.NestedString(d.Object, "spec", "schema", "kind")
		group, _, _ := unstructured.NestedString(d.Object, "spec", "schema", "group")

		if kind == gvk.Kind && cmp.Or(group, krov1alpha1.GroupVersion().Group) == gvk.Group {
			definition = d
		}
	}

	if definition == nil {
		return nil, nil, fmt.Errorf("%s is no instance of a graph: no ResourceGraphDefinition makes the kind %s", titleOf(instance), gvk.GroupKind())
	}

	revisions, err := c.list(ctx, schema.GroupVersionResource{Group: "internal.kro.run", Version: "v1alpha1", Resource: "graphrevisions"}, "",
		applyset.LabelDefinitionName+"="+definition.GetName())
	if err != nil {
		return nil, nil, err
	}

	newest := int64(0)

	for _, r := range revisions {
		if n, _, _ := unstructured.NestedInt64(r.Object, "spec", "revision"); n > newest {
			newest, revision = n, r
		}
	}

	return definition, revision, nil
}

// explained is an instance with what is found of it in the cluster.
type explained struct {
	cluster              *graphCluster
	graph                *graph.Graph
	instance, definition *unstructured.Unstructured
	// objects are the nodes' as they are, by the node's id.
	objects map[string][]*unstructured.Unstructured
	// pending says what is still to be done for a node.
	pending map[string]string
}

// errNotMade says that an object has not been made.
var errNotMade = errors.New("has not been made")

func (e *explained) read(ctx context.Context, n *graph.Node, r graph.Reference) graph.Outcome {
	outcome := e.cluster.read(ctx, n, r)
	e.objects[n.ID] = outcome.Objects

	return outcome
}

// make looks whether the objects are there as desired.
func (e *explained) make(ctx context.Context, n *graph.Node, desired []*unstructured.Unstructured) graph.Outcome {
	outcome := graph.Outcome{Objects: make([]*unstructured.Unstructured, len(desired))}

	for i, o := range desired {
		applyset.Mark(o, e.instance, n, i, len(desired))

		live, err := e.cluster.get(ctx, n.Resource, o.GetNamespace(), o.GetName())

		switch {
		case err != nil:
		case live == nil:
			err = fmt.Errorf("%s %w", titleOf(o), errNotMade)
		case live.GetLabels()[applyset.LabelPartOf] != applyset.ID(e.instance):
			err = fmt.Errorf("%s is there and not this instance's", titleOf(o))
		case live.GetDeletionTimestamp() != nil:
			outcome.Deleting = titleOf(o)
		case live.GetAnnotations()[applyset.AnnotationApplied] != o.GetAnnotations()[applyset.AnnotationApplied]:
			e.pending[n.ID] = titleOf(o) + " is to be applied anew"
		}

		if live != nil {
			e.objects[n.ID] = append(e.objects[n.ID], live)
		}

		outcome.Objects[i], outcome.Err = live, errors.Join(outcome.Err, err)
	}

	return outcome
}

// table writes a line for each node.
func (e *explained) table(w io.Writer, reports []graph.NodeReport) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "NODE\tOBJECT\tSTATE\tSINCE\tLAST MOVED BY\tWAITS FOR")

	for i := range reports {
		r := &reports[i]
		state, waits := r.State, e.pending[r.Node.ID]

		switch {
		case errors.Is(r.Err, errNotMade):
			state, waits = graph.NodeInProgress, "the manager: "+r.Err.Error()
		case r.State != graph.NodeSynced && r.State != graph.NodeSkipped:
			waits = holdUp(r, reports)
		}

		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n",
			r.Node.ID, e.name(r), state, dashed(e.since(r)), dashed(e.mover(r.Node)), dashed(comment(waits)))
	}

	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}

	return nil
}

func dashed(text string) string { return cmp.Or(text, "-") }

// name is the object of a node, or the first and how many there are.
func (e *explained) name(r *graph.NodeReport) string {
	objects := e.objects[r.Node.ID]
	if len(objects) == 0 {
		objects = r.Desired
	}

	name := r.Node.GVK.Kind

	if len(objects) > 0 {
		name += "/" + objects[0].GetName()
	}

	if r.Node.Collection || r.Node.Selector {
		name += fmt.Sprintf(" (%d)", len(objects))
	}

	return name
}

// since is when the node came to be as it is: when it was last applied or, if it is not done, when the instance said so.
func (e *explained) since(r *graph.NodeReport) string {
	if r.State == graph.NodeSynced {
		return when(e.applied(r.Node))
	}

	for _, c := range conditionsOf(e.instance) {
		if c.Type == "ResourcesReady" && c.Status != metav1.ConditionTrue {
			return when(c.LastTransitionTime.Time)
		}
	}

	return when(e.instance.GetCreationTimestamp().Time)
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}

	return t.UTC().Format(time.DateTime)
}

// applied is when the newest of a node's objects was last written by the manager, or else created.
func (e *explained) applied(n *graph.Node) time.Time {
	var last time.Time

	for _, o := range e.objects[n.ID] {
		at := o.GetCreationTimestamp().Time

		for _, f := range o.GetManagedFields() {
			if f.Manager == applyset.OwnerChildren && f.Subresource == "" && f.Time != nil {
				at = f.Time.Time
			}
		}

		if at.After(last) {
			last = at
		}
	}

	return last
}

// write is one that somebody made.
type written struct {
	object, manager string
	at              time.Time
}

// mover is the newest write of somebody else, before the node was last applied, to what decides what the node is.
func (e *explained) mover(n *graph.Node) string {
	if n.External || len(e.objects[n.ID]) == 0 {
		return ""
	}

	var candidates []written

	for _, id := range e.upstream(n, nil) {
		for _, o := range e.objects[id] {
			// A status moves only those that read it.
			candidates = append(candidates, writesOf(o, e.graph.Node(id).Reads.Has("status"))...)
		}
	}

	candidates = slices.Concat(candidates, writesOf(e.instance, false), writesOf(e.definition, false))
	until := e.applied(n)
	candidates = slices.DeleteFunc(candidates, func(c written) bool { return c.at.After(until) })

	if len(candidates) == 0 {
		return ""
	}

	last := slices.MaxFunc(candidates, func(a, b written) int { return a.at.Compare(b.at) })

	return last.object + ", " + last.manager + ", " + when(last.at)
}

// upstream are the nodes that a node depends on, directly or not.
func (e *explained) upstream(n *graph.Node, found []string) []string {
	for _, id := range n.Dependencies {
		if !slices.Contains(found, id) {
			found = e.upstream(e.graph.Node(id), append(found, id))
		}
	}

	return found
}

// writesOf are the last writes of each of those who wrote to an object, without ours.
func writesOf(o *unstructured.Unstructured, status bool) []written {
	var found []written

	for _, f := range o.GetManagedFields() {
		counts := f.Subresource == "" || f.Subresource == "status" && status
		if counts && f.Time != nil && !strings.HasPrefix(f.Manager, applyset.OwnerPrefix) {
			found = append(found, written{o.GetKind() + " " + o.GetName(), f.Manager, f.Time.Time})
		}
	}

	return found
}

// conditionsOf are the conditions that an object shows.
func conditionsOf(o *unstructured.Unstructured) []metav1.Condition {
	var conditions []metav1.Condition

	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")

	for _, item := range list {
		var c metav1.Condition

		m, _ := item.(map[string]any)
		if runtime.DefaultUnstructuredConverter.FromUnstructured(m, &c) == nil {
			conditions = append(conditions, c)
		}
	}

	return conditions
}
