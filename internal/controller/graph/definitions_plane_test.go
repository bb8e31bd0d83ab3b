package graph_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// The conditions of a definition.
const (
	graphAccepted     = "GraphAccepted"
	revisionsResolved = "GraphRevisionsResolved"
	kindReady         = "KindReady"
	controllerReady   = "ControllerReady"
)

// oneObject is the shortest list of resources.
const oneObject = `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}}}`

// verdict returns a condition of a definition as "status/reason: message".
func verdict(d *krov1alpha1.ResourceGraphDefinition, conditionType string) string {
	c := meta.FindStatusCondition(d.Status.Conditions, conditionType)
	if c == nil {
		return ""
	}

	return fmt.Sprintf("%s/%s: %s", c.Status, c.Reason, c.Message)
}

// verdicts returns all conditions, in their order.
func verdicts(d *krov1alpha1.ResourceGraphDefinition) []string {
	var all []string

	for _, c := range d.Status.Conditions {
		all = append(all, c.Type+" "+verdict(d, c.Type))
	}

	return all
}

// judged waits until a condition is about the definition as it is now and has a text in it.
func (w *world) judged(kind, conditionType, text string) *krov1alpha1.ResourceGraphDefinition {
	w.Helper()

	return w.definition(w.nameOf(kind), "to say of "+conditionType+": "+text, func(d *krov1alpha1.ResourceGraphDefinition) bool {
		c := meta.FindStatusCondition(d.Status.Conditions, conditionType)

		return c != nil && c.ObservedGeneration == d.Generation && strings.Contains(verdict(d, conditionType), text)
	})
}

// redefine changes a definition and waits until that is served.
func (w *world) redefine(kind, schema, resources string) *krov1alpha1.ResourceGraphDefinition {
	w.Helper()
	w.apply(w.definitionOf(kind, schema, resources))

	return w.definition(w.nameOf(kind), "to be Active as it is now", func(d *krov1alpha1.ResourceGraphDefinition) bool {
		c := meta.FindStatusCondition(d.Status.Conditions, "Ready")

		return d.Status.State == krov1alpha1.StateActive && c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == d.Generation
	})
}

// refused fails the test unless the server refuses an object with the text.
func (w *world) refused(text, stream string) {
	w.Helper()

	for _, o := range w.decode(stream) {
		err := w.client.Create(w.Context(), o.DeepCopy())
		if apierrors.IsAlreadyExists(err) {
			err = w.client.Apply(w.Context(), client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("test"), client.ForceOwnership)
		}

		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), text) {
			w.Errorf("the server answers %v, want a refusal with %q of\n%s", err, text, stream)
		}
	}
}

// contains fails the test unless a text has the parts.
func (w *world) contains(text string, parts ...string) {
	w.Helper()

	for _, part := range parts {
		if !strings.Contains(text, part) {
			w.Errorf("%q does not say %q", text, part)
		}
	}
}

func TestDefinitionsSayWhatBecameOfThem(t *testing.T) {
	t.Parallel()
	prove(t, map[string]func(*run){
		"§1.3 §1.4 §1.5 a valid definition is Active, with all conditions, its order and a finalizer": validDefinition,
		"§1.3 §1.4 an invalid definition is Inactive, says what is wrong where, and recovers":         invalidDefinition,
		"§1.4 a condition keeps its time while its status stays":                                      conditionTimes,
		"§1.1 what is immutable, and what is malformed, is refused by the server":                     refusedDefinitions,
		"§1.2 a resource is a template or a reference, by name or by selector":                        refusedResources,
		"§1 the definition's own columns":                                                             definitionColumns,
		"§2 defaults and validations reach the server":                                                simpleSchema,
		"§2.4 defaults of nested structs apply when the parent is left out":                           nestedDefaults,
		"an expression that would never end is warned of, in a condition and an Event":                endlessLoop,
	})
}

func validDefinition(r *run) {
	r.define("App", names+"\nstatus: {b: '${b.metadata.name}'}", `
- {id: b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${a.metadata.name}-b"}}}
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.name}"}}}`)

	d := r.active(r.nameOf("App"))
	r.same("conditions", []string{
		"GraphAccepted True/Valid: resource graph and schema are valid",
		"GraphRevisionsResolved True/Resolved: revision 1 compiled and active",
		"KindReady True/Ready: kind App has been accepted and ready",
		"ControllerReady True/Running: controller is running",
		"Ready True/Ready: ",
	}, verdicts(d))
	r.same("topological order", []string{"a", "b"}, d.Status.TopologicalOrder)
	r.same("resources", []krov1alpha1.ResourceInformation{{ID: "b", Dependencies: []krov1alpha1.Dependency{{ID: "a"}}}}, d.Status.Resources)
	r.same("last revision", int64(1), d.Status.LastIssuedRevision)
	r.same("finalizers", []string{"kro.run/finalizer"}, d.Finalizers)
}

func invalidDefinition(r *run) {
	r.apply(r.definitionOf("App", names, `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: x}, dataa: {k: "${schema.spec.name}"}}}`))

	d := r.judged("App", graphAccepted, "False/InvalidResourceGraph: ")
	r.same("state", krov1alpha1.StateInactive, d.Status.State)
	r.contains(verdict(d, graphAccepted), "schema not found for field", "dataa")
	r.same("Ready", verdict(d, graphAccepted), verdict(d, "Ready"))

	for _, conditionType := range []string{revisionsResolved, kindReady, controllerReady} {
		r.contains(verdict(d, conditionType), "Unknown/")
	}

	r.redefine("App", names, oneObject)
	r.apply(r.definitionOf("App", names, `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${b.metadata.name}"}}}
- {id: b, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${a.metadata.name}"}}}`))

	d = r.judged("App", graphAccepted, "False/InvalidResourceGraph: ")
	r.contains(verdict(d, graphAccepted), "graph contains a cycle: a -> b -> a")
	r.same("topological order", 0, len(d.Status.TopologicalOrder))
	r.same("resources", 0, len(d.Status.Resources))
}

func conditionTimes(r *run) {
	r.define("App", names, oneObject)

	key := &krov1alpha1.ResourceGraphDefinition{ObjectMeta: metav1.ObjectMeta{Name: r.nameOf("App")}}
	r.must(r.client.Get(r.Context(), client.ObjectKeyFromObject(key), key))

	// As if that had been an hour ago, by a controller that had more conditions.
	old := metav1.NewTime(key.CreationTimestamp.Add(-3600e9).UTC())
	for i := range key.Status.Conditions {
		key.Status.Conditions[i].LastTransitionTime = old
	}

	key.Status.Conditions = append(key.Status.Conditions, metav1.Condition{
		Type: "ResourceGraphAccepted", Status: metav1.ConditionTrue, Reason: "Valid", LastTransitionTime: old,
	})
	r.must(r.client.Status().Update(r.Context(), key))

	d := r.definition(key.Name, "to lose the old condition", func(d *krov1alpha1.ResourceGraphDefinition) bool {
		return len(d.Status.Conditions) == 5
	})
	for _, c := range d.Status.Conditions {
		r.same("time of "+c.Type, old.UTC(), c.LastTransitionTime.UTC())
	}
}

func refusedDefinitions(r *run) {
	r.define("App", names, oneObject)

	applied := r.definitionOf("App", names, oneObject)
	for text, change := range map[string][2]string{
		"kind is immutable":       {"kind: App", "kind: Other"},
		"group is immutable":      {"group: GROUP", "group: other.example.com"},
		"apiVersion is immutable": {"apiVersion: v1alpha1\n    kind", "apiVersion: v1\n    kind"},
		"scope is immutable":      {"group: GROUP", "group: GROUP\n    scope: Cluster"},
	} {
		r.refused(text, strings.Replace(applied, change[0], change[1], 1))
	}

	for text, schema := range map[string]string{
		"shortNames":                 "shortNames: [Up]",
		"categories":                 "categories: ['-']",
		"Unsupported value":          "scope: Galaxy",
		"Duplicate value":            "shortNames: [a, a]",
		"must have at most 32 items": "shortNames: [" + strings.Join(manyNames(33), ", ") + "]",
	} {
		r.refused(text, r.definitionOf("Other", schema, oneObject))
	}

	for _, kind := range []string{"app", "My_App", "A" + strings.Repeat("b", 63)} {
		r.refused("spec.schema.kind", strings.Replace(r.definitionOf("Other", names, oneObject), "kind: Other", "kind: "+kind, 1))
	}

	for _, v := range []string{"v1b", "v1gamma1", "v", "other.example.com/v1"} {
		r.refused("spec.schema.apiVersion",
			strings.Replace(r.definitionOf("Other", names, oneObject), "apiVersion: v1alpha1\n    kind", "apiVersion: "+v+"\n    kind", 1))
	}
}

func manyNames(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("n", i)
	}

	return all
}

func refusedResources(r *run) {
	const (
		either   = "exactly one of template or externalRef must be provided"
		selected = "exactly one of name or selector must be provided"
	)

	for resource, text := range map[string]string{
		"{id: a}": either,
		"{id: a, template: {}, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}}":      either,
		"{id: a, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {}}}":                           selected,
		"{id: a, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: x, selector: {}}}}":      selected,
		"{id: a, externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: ''}}}":                   "metadata.name",
		"{id: a, template: {kind: ConfigMap}, forEach: [{x: '${[1]}', y: '${[2]}'}]}":                     "forEach",
		"{id: a, template: {kind: ConfigMap}, forEach: [{}]}":                                             "forEach",
		"{template: {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}}":                              "id",
		"{id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}, waitFor: {b: {}}}":     "fields",
		"{id: a, externalRef: {kind: ConfigMap, metadata: {name: x}}}":                                    "apiVersion",
		"{id: a, externalRef: {apiVersion: v1, metadata: {selector: {matchLabels: {a: b}}}}}":             "kind",
		"{id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}, readyWhen: '${true}'}": "readyWhen",
	} {
		r.refused(text, r.definitionOf("App", names, "- "+resource))
	}
}

func definitionColumns(r *run) {
	var crd apiextensionsv1.CustomResourceDefinition

	r.must(r.client.Get(r.Context(), client.ObjectKey{Name: "resourcegraphdefinitions.kro.run"}, &crd))
	r.same("columns", []string{
		"0 APIVERSION .spec.schema.apiVersion", "0 KIND .spec.schema.kind", "0 STATE .status.state",
		`0 READY .status.conditions[?(@.type=="Ready")].status`, "1 TOPOLOGICALORDER .status.topologicalOrder",
		"0 AGE .metadata.creationTimestamp",
	}, columnsOf(&crd))
	r.same("names", []string{"rgd"}, crd.Spec.Names.ShortNames)
	r.same("scope", apiextensionsv1.ClusterScoped, crd.Spec.Scope)

	r.must(r.client.Get(r.Context(), client.ObjectKey{Name: "graphrevisions.internal.kro.run"}, &crd))
	r.same("columns of revisions", []string{
		"1 RGD .spec.snapshot.name", "0 REVISION .spec.revision", `1 HASH .metadata.labels.kro\.run/graph-revision-hash`,
		`0 READY .status.conditions[?(@.type=="Ready")].status`, "0 AGE .metadata.creationTimestamp",
	}, columnsOf(&crd))
}

func columnsOf(crd *apiextensionsv1.CustomResourceDefinition) []string {
	var all []string

	for _, c := range crd.Spec.Versions[0].AdditionalPrinterColumns {
		all = append(all, fmt.Sprintf("%d %s %s", c.Priority, c.Name, c.JSONPath))
	}

	return all
}

const manyMarkers = `
types:
  Port:
    name: string | required=true
    number: Number
  Number: integer | minimum=1 default=80
spec:
  name: string | required=true pattern="^[a-z]+$" minLength=2 maxLength=8 description="what it is called"
  size: string | enum="small,large" default=small
  replicas: integer | minimum=1 maximum=5 default=2
  ratio: float
  tags: "[]string | minItems=1 maxItems=2 uniqueItems=true"
  ports: "[]Port | listType=map listMapKey=name"
  limits: "map[string]integer"
  lists: "map[string][]string"
  fixed: string | immutable=true
  odd: integer | validation="self % 2 == 1"
  active: boolean | default=true
  free: object
`

func simpleSchema(r *run) {
	r.define("App", manyMarkers, oneObject)
	r.make("App", "good", "{name: good, tags: [a, b], ports: [{name: web}], limits: {cpu: 1}, lists: {a: [b]}, odd: 3, fixed: x, ratio: 0.5, free: {any: [1]}}")
	o := r.reaches("App", "good", "ACTIVE")
	r.same("spec", map[string]any{
		"name": "good", "size": "small", "replicas": int64(2), "tags": []any{"a", "b"},
		"ports":  []any{map[string]any{"name": "web", "number": int64(80)}},
		"limits": map[string]any{"cpu": int64(1)}, "lists": map[string]any{"a": []any{"b"}},
		"odd": int64(3), "fixed": "x", "ratio": 0.5, "active": true, "free": map[string]any{"any": []any{int64(1)}},
	}, field(o, "spec"))

	for spec, text := range map[string]string{
		"{}":                                          "spec.name: Required value",
		"{name: Good}":                                "should match '^[a-z]+$'",
		"{name: a}":                                   "at least 2 chars long",
		"{name: abcdefghi}":                           "Too long",
		"{name: good, size: huge}":                    `supported values: "small", "large"`,
		"{name: good, replicas: 0}":                   "greater than or equal to 1",
		"{name: good, replicas: 6}":                   "less than or equal to 5",
		"{name: good, replicas: two}":                 "must be of type integer",
		"{name: good, tags: []}":                      "should have at least 1 items",
		"{name: good, tags: [a, b, c]}":               "must have at most 2 items",
		"{name: good, tags: [a, a]}":                  "Duplicate value",
		"{name: good, ports: [{number: 1}]}":          "Required value",
		"{name: good, limits: {cpu: one}}":            "must be of type integer",
		"{name: good, odd: 2}":                        "validation failed",
		"{name: good, active: 'yes'}":                 "must be of type boolean",
		"{name: good, ports: [{name: a, number: 0}]}": "greater than or equal to 1",
	} {
		r.refused(text, "apiVersion: GROUP/v1alpha1\nkind: App\nmetadata: {name: bad, namespace: NAMESPACE}\nspec: "+spec)
	}

	r.refused("field is immutable", "apiVersion: GROUP/v1alpha1\nkind: App\nmetadata: {name: good, namespace: NAMESPACE}\nspec: {name: good, fixed: z}")
}

func nestedDefaults(r *run) {
	r.define("App", `
spec:
  outer: {inner: {level: string | default=info, note: string}}
  strict: {must: string | required=true, may: string | default=x}
  plain: {note: string}
  quoted: 'string | default="a: b"'
  numbers: "[]integer | default=[1,2]"`, oneObject)
	r.make("App", "shop", "{}")
	o := r.reaches("App", "shop", "ACTIVE")
	r.same("spec", map[string]any{
		"outer": map[string]any{"inner": map[string]any{"level": "info"}}, "quoted": "a: b", "numbers": []any{int64(1), int64(2)},
	}, field(o, "spec"))
}

func endlessLoop(r *run) {
	const loop = `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "x-${schema.metadata.resourceVersion}"}}}`

	r.define("App", names, loop)

	d := r.judged("App", "GraphWarning", "True/EndlessLoop: ")
	r.contains(verdict(d, "GraphWarning"), "schema.metadata.resourceVersion")
	r.contains(verdict(d, "Ready"), "True/Ready")

	said := r.warning(d)
	r.same("reason of the Event", "EndlessLoop", said.Reason)
	r.contains(said.Note, "schema.metadata.resourceVersion")

	d = r.redefine("App", names, oneObject)
	if got := verdict(d, "GraphWarning"); got != "" {
		r.Errorf("the warning stays after its cause went: %s", got)
	}
}

// warning waits for an Event about a definition.
func (w *world) warning(d *krov1alpha1.ResourceGraphDefinition) *eventsv1.Event {
	w.Helper()

	selection := &client.ListOptions{Namespace: metav1.NamespaceDefault, FieldSelector: fields.OneTermEqualSelector("regarding.name", d.Name)}

	ctx, cancel := context.WithTimeout(w.Context(), expect.Limit)
	defer cancel()

	watched, err := w.client.Watch(ctx, &eventsv1.EventList{}, selection)
	w.must(err)

	defer watched.Stop()

	for e := range watched.ResultChan() {
		if said, ok := e.Object.(*eventsv1.Event); ok && said.Type == "Warning" {
			return said
		}
	}

	w.Fatalf("there is no warning Event about %s", d.Name)

	return nil
}
