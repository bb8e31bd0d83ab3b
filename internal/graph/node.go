package graph

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/lockstep-dev/lockstep/internal/graph/expr"
	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// Node is a resource of a graph: what to make for each instance, or what to read. It is never changed and safe for
// concurrent use.
type Node struct {
	ID       string
	GVK      schema.GroupVersionKind
	Resource schema.GroupVersionResource
	// Schema is the kind's, never nil.
	Schema     *spec.Schema
	Namespaced bool
	// Collection nodes have one object for each combination of some lists' elements.
	Collection bool
	// External nodes are only read. With Selector they are all objects that a selector finds, else one.
	External, Selector bool
	// Dependencies are the nodes that must be ready first, in topological order; IncludeDependencies are those of
	// them that decide whether the node is wanted.
	Dependencies, IncludeDependencies []string
	// ApplyOrder is greater than that of every dependency; the first is 1.
	ApplyOrder int
	// Sets is what the template sets: a path ends at a list, at a whole-value expression, or at a value.
	Sets *fieldpath.Tree
	// Reads is what any expression of the graph reads of the node's objects.
	Reads *fieldpath.Tree
	// Adopt says that objects that are there already are taken over.
	Adopt bool
	// Sensitive says that something of a Secret's content may be in the objects, or decide which ones there are: then
	// no message must repeat their values.
	Sensitive bool

	// shape is the template, or the metadata of the reference; selector is that of the latter.
	shape       *shape
	selector    *metav1.LabelSelector
	forEach     []iterator
	includeWhen []*expression
	readyWhen   []*expression
	waitFor     []waiting
	// secretIdentity says that it may be in their names or namespaces.
	secretIdentity bool
	// limit is how many objects the collection may have.
	limit int
}

// iterator is a list that a collection is made of.
type iterator struct {
	name string
	list *expression
}

// waiting is for fields of another node.
type waiting struct {
	on      string
	fields  []waitField
	timeout time.Duration
}

type waitField struct {
	// text is the path as it was written, and steps is where it leads.
	text  string
	steps fieldpath.Path
	// pattern is what the value must match; nil for any that is not empty. Want is what [Missing] says.
	pattern *regexp.Regexp
	want    string
}

// Missing is a field for which a node was told to wait.
type Missing struct {
	// Resource is the id of the node that the field is of, and Field its path there.
	Resource, Field string
	// Want is "present", or the regular expression that the value must match.
	Want string
	// Timeout is how long waiting is taken for normal; zero for as long as it takes.
	Timeout time.Duration
}

const wantPresent = "present"

// String is the field, and what it must match.
func (m Missing) String() string {
	if m.Want == wantPresent {
		return m.Resource + "." + m.Field
	}

	return m.Resource + "." + m.Field + " matching " + strconv.Quote(m.Want)
}

// Reference is what an external node refers to.
type Reference struct {
	// Namespace is empty for kinds without namespaces; with a Selector, empty is all namespaces.
	Namespace, Name string
	// Selector is nil when the node refers to one object by name.
	Selector labels.Selector
}

func (n *Node) includeDependsOn(id string) bool { return slices.Contains(n.IncludeDependencies, id) }

// Included says whether the node is wanted. A *expr.PendingError in the chain says that this is not known yet.
func (n *Node) Included(s *Scope) (bool, error) {
	var waits error

	for _, e := range n.includeWhen {
		yes, err := e.decide(s, s.values)

		pending := asPending(err)

		switch {
		case pending != nil && onlySchema(e):
			// The instance is all there is: what it does not have will not come.
			s.Warn(Warning{
				Reason: "OptionalField", Path: e.at, Expression: e.source,
				Message: fmt.Sprintf("resource %q is left out: %s, which the instance does not have", n.ID, pending),
			})

			return false, nil
		case pending != nil:
			waits = err
		case err != nil:
			return false, err
		case !yes:
			return false, nil
		}
	}

	return waits == nil, waits
}

// decide evaluates an expression that says yes or no. An optional value that is none is no.
func (e *expression) decide(s *Scope, v *expr.Values) (bool, error) {
	value, err := e.eval(v, s.budget)
	if err != nil {
		return false, err
	}

	switch yes := value.(type) {
	case bool:
		return yes, nil
	case nil:
		return false, nil
	}

	return false, e.fail(fmt.Errorf("%s expression %q must return bool, but returns %T", e.role, e.source, value))
}

// Waits returns the fields of other nodes for which the node has to wait, in a stable order.
func (n *Node) Waits(s *Scope) []Missing {
	var missing []Missing

	for _, w := range n.waitFor {
		objects, observed := s.objects[w.on]
		if !observed {
			objects = []*unstructured.Unstructured{{}}
		}

		for i, o := range objects {
			resource := w.on
			if len(objects) > 1 {
				resource += "[" + strconv.Itoa(i) + "]"
			}

			for _, f := range w.fields {
				if !f.holds(o.Object) {
					missing = append(missing, Missing{Resource: resource, Field: f.text, Want: f.want, Timeout: w.timeout})
				}
			}
		}
	}

	return missing
}

// holds says whether the field is there, not empty, and matches.
func (f waitField) holds(object map[string]any) bool {
	var value any = object

	for _, step := range f.steps {
		switch of := value.(type) {
		case map[string]any:
			key, _ := step.(string)
			value = of[key]
		case []any:
			index, isIndex := step.(int)
			if !isIndex || index >= len(of) {
				return false
			}

			value = of[index]
		default:
			return false
		}
	}

	switch v := value.(type) {
	case nil:
		return false
	case map[string]any:
		return len(v) > 0 && f.pattern == nil
	case []any:
		return len(v) > 0 && f.pattern == nil
	case string:
		return v != "" && (f.pattern == nil || f.pattern.MatchString(v))
	}

	return f.pattern == nil || f.pattern.MatchString(fmt.Sprint(value))
}

// Render returns the desired objects, a collection's in the order of its lists, the first list outermost. What is in
// their metadata is the caller's to change; values elsewhere may be the template's own. A *expr.PendingError in the
// chain says that data is not there yet.
func (n *Node) Render(s *Scope) ([]*unstructured.Unstructured, error) {
	if !n.Collection {
		o, err := n.object(s, s.values)
		if err != nil {
			return nil, err
		}

		return []*unstructured.Unstructured{o}, nil
	}

	lists, err := n.lists(s)
	if err != nil {
		return nil, err
	}

	objects, err := n.expand(s, s.values, lists, nil)
	if err != nil {
		return nil, err
	}

	known := make(map[identity]bool, len(objects))

	for _, o := range objects {
		id := identity{n.GVK.GroupKind(), o.GetNamespace(), o.GetName()}
		if known[id] {
			return nil, fmt.Errorf("found resources with conflicts: more than one object of %q is the %s", n.ID, n.title(id))
		}

		known[id] = true
	}

	s.rendered[n.ID] = len(objects)

	return objects, nil
}

// lists evaluates what a collection is made of, and checks how many objects it would have.
func (n *Node) lists(s *Scope) ([][]any, error) {
	lists, size := make([][]any, len(n.forEach)), 1

	for i, it := range n.forEach {
		value, err := it.list.eval(s.values, s.budget)
		if err != nil {
			return nil, err
		}

		list, ok := value.([]any)
		if !ok {
			return nil, it.list.fail(fmt.Errorf("forEach iterator %q must return a list, but returns %T", it.name, value))
		}

		lists[i] = list
		// No product of two sizes that are within the limit is too large to be counted.
		size = min(size, n.limit+1) * min(len(list), n.limit+1)
	}

	if size > n.limit {
		return nil, fmt.Errorf("collection size of %s is over the maximum of %d", product(lists), n.limit)
	}

	return lists, nil
}

// product is the size of a collection as people check it: 34 × 34 = 1156.
func product(lists [][]any) string {
	factors, total := make([]string, len(lists)), big.NewInt(1)

	for i, list := range lists {
		factors[i] = strconv.Itoa(len(list))
		total.Mul(total, big.NewInt(int64(len(list))))
	}

	if len(lists) == 1 {
		return total.String()
	}

	return total.String() + " (" + strings.Join(factors, " × ") + ")"
}

// expand makes the objects of all combinations of the lists' elements.
func (n *Node) expand(s *Scope, v *expr.Values, lists [][]any, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if len(lists) == 0 {
		o, err := n.object(s, v)
		if err != nil {
			return nil, err
		}

		return append(objects, o), nil
	}

	name := n.forEach[len(n.forEach)-len(lists)].name

	for _, element := range lists[0] {
		var err error
		if objects, err = n.expand(s, v.With(name, element), lists[1:], objects); err != nil {
			return nil, err
		}
	}

	return objects, nil
}

// object makes one object.
func (n *Node) object(s *Scope, v *expr.Values) (*unstructured.Unstructured, error) {
	value, err := n.shape.render(v, s.budget)
	if err != nil {
		return nil, err
	}

	root, _ := value.(map[string]any)
	metadata, _ := root["metadata"].(map[string]any)
	// Without expressions both are the template's own.
	root, metadata = maps.Clone(root), maps.Clone(metadata)
	root["metadata"] = metadata

	if name, ok := metadata["name"].(string); !ok || name == "" {
		return nil, errors.New("metadata.name must be a string that is not empty")
	}

	if err := n.place(s, metadata); err != nil {
		return nil, err
	}

	if err := n.checkIdentity(metadata); err != nil {
		return nil, err
	}

	for _, key := range []string{"labels", "annotations"} {
		if err := n.checkMarks(metadata, key); err != nil {
			return nil, err
		}
	}

	return &unstructured.Unstructured{Object: root}, nil
}

// place puts an object of a namespaced kind that says no namespace into the instance's.
func (n *Node) place(s *Scope, metadata map[string]any) error {
	given, ok := metadata["namespace"].(string)
	if !ok && metadata["namespace"] != nil {
		return errors.New("metadata.namespace must be a string")
	}

	switch own := s.instance.GetNamespace(); {
	case !n.Namespaced:
		delete(metadata, "namespace")
	case given != "":
	case own == "":
		return fmt.Errorf("metadata.namespace is empty: the instance has no namespace that a %s could be in", n.GVK.Kind)
	default:
		metadata["namespace"] = own
	}

	return nil
}

// checkIdentity refuses names that no object can have where they are made of a Secret's content: everybody else who
// does so names them.
func (n *Node) checkIdentity(metadata map[string]any) error {
	if !n.secretIdentity {
		return nil
	}

	for _, key := range []string{"name", "namespace"} {
		text, _ := metadata[key].(string)
		if len(validation.IsDNS1123Subdomain(text)) > 0 && text != "" {
			return fmt.Errorf("metadata.%s is made of the content of a Secret and is not a valid name", key)
		}
	}

	return nil
}

// title names an object in messages, unless something of a Secret's content is in the name.
func (n *Node) title(id identity) string {
	if n.secretIdentity {
		return id.kind.String() + " whose name is not shown because it is made of the content of a Secret"
	}

	return id.kind.String() + " " + strings.TrimPrefix(id.namespace+"/"+id.name, "/")
}

// checkMarks checks that labels or annotations, if there are any, are texts: later they are changed as such.
func (n *Node) checkMarks(metadata map[string]any, key string) error {
	marks, isMap := metadata[key].(map[string]any)

	switch {
	case metadata[key] == nil:
		delete(metadata, key)
	case !isMap:
		return fmt.Errorf("metadata.%s must be a map of strings", key)
	}

	for name, value := range marks {
		switch _, ok := value.(string); {
		case !ok && n.Sensitive:
			return fmt.Errorf("metadata.%s: all values must be strings, and one is %T", key, value)
		case !ok:
			return fmt.Errorf("metadata.%s: the value of %q must be a string, not %T", key, name, value)
		}
	}

	return nil
}

// Reference returns what an external node refers to. A *expr.PendingError in the chain says that data is not there yet.
func (n *Node) Reference(s *Scope) (Reference, error) {
	value, err := n.shape.render(s.values, s.budget)
	if err != nil {
		return Reference{}, err
	}

	metadata, _ := value.(map[string]any)
	r := Reference{}

	for key, to := range map[string]*string{"name": &r.Name, "namespace": &r.Namespace} {
		text, ok := metadata[key].(string)
		if !ok && metadata[key] != nil {
			return Reference{}, fmt.Errorf("metadata.%s of the reference must be a string", key)
		}

		*to = text
	}

	if n.Selector {
		return r, n.selects(&r, metadata)
	}

	if r.Name == "" {
		return Reference{}, errors.New("metadata.name of the reference is empty")
	}

	if n.Namespaced && r.Namespace == "" {
		if r.Namespace = s.instance.GetNamespace(); r.Namespace == "" {
			return Reference{}, fmt.Errorf("metadata.namespace is empty: the instance has no namespace that a %s could be in", n.GVK.Kind)
		}
	}

	return r, nil
}

// selects makes the selector of a reference.
func (n *Node) selects(r *Reference, metadata map[string]any) error {
	evaluated, _ := metadata["selector"].(map[string]any)

	selector, err := selectorOf(n.selector, evaluated)
	if err != nil {
		return err
	}

	if r.Selector, err = metav1.LabelSelectorAsSelector(selector); err != nil {
		return fmt.Errorf("metadata.selector of the reference: %w", err)
	}

	return nil
}

// Ready says whether what was observed of the node is ready, and if not, why.
func (n *Node) Ready(s *Scope) (bool, string, error) {
	objects := s.objects[n.ID]

	switch wanted := s.rendered[n.ID]; {
	case n.Collection && len(objects) < wanted:
		return false, fmt.Sprintf("%d of %d objects are there", len(objects), wanted), nil
	case !n.Collection && !n.Selector && len(objects) == 0:
		return false, "the object is not there", nil
	}

	for _, e := range n.readyWhen {
		if ready, message, err := e.readyFor(s, objects); !ready {
			return false, message, err
		}
	}

	return true, "", nil
}

// readyFor says whether an expression of readyWhen holds: for each of the objects, if it is about each.
func (e *expression) readyFor(s *Scope, objects []*unstructured.Unstructured) (bool, string, error) {
	if !slices.Contains(e.identifiers, variableEach) {
		return e.ready(s, s.values)
	}

	for i, o := range objects {
		ready, message, err := e.ready(s, s.values.With(variableEach, o.Object))
		if err != nil {
			return false, "", err
		}

		if !ready {
			return false, fmt.Sprintf("%s for object %d of %d, %s", message, i+1, len(objects), o.GetName()), nil
		}
	}

	return true, "", nil
}

// ready says whether an expression of readyWhen holds. Data that is not there yet is a no.
func (e *expression) ready(s *Scope, v *expr.Values) (bool, string, error) {
	yes, err := e.decide(s, v)
	message := fmt.Sprintf("readyWhen condition evaluated to false: %q", e.source)

	if pending := asPending(err); pending != nil {
		if len(pending.Missing) > 0 {
			message += fmt.Sprintf(" (there is no %s yet)", pending.Missing[0])
		}

		return false, message, nil
	}

	if err != nil {
		return false, "", err
	}

	return yes, message, nil
}
