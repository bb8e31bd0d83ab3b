package graph_test

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// in returns the run as a part of a test sees it: with a namespace and an API group of its own.
func (r *run) in(t *testing.T) *run {
	t.Helper()

	part := *r
	w := *r.world
	w.T, w.namespace, w.group = t, plane.Namespace(t), "g"+rand.String(6)+".example.com"
	part.world = &w

	return &part
}

// prove runs the parts of a test, which share one controller.
func prove(t *testing.T, parts map[string]func(*run)) {
	t.Helper()

	r := newWorld(t).start()

	for name, part := range parts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(r.in(t))
		})
	}
}

// define applies a definition named NAMESPACE-kind in lower case and waits until it is served.
// The schema and the resources are YAML.
func (w *world) define(kind, schema, resources string) {
	w.Helper()
	w.apply(w.definitionOf(kind, schema, resources))
	w.active(w.nameOf(kind))
}

func (w *world) nameOf(kind string) string { return w.namespace + "-" + strings.ToLower(kind) }

func (w *world) definitionOf(kind, schema, resources string) string {
	return `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: ` + w.nameOf(kind) + `}
spec:
  schema:
    apiVersion: v1alpha1
    kind: ` + kind + `
    group: GROUP
` + indent(schema, "    ") + `
  resources:
` + indent(resources, "    ")
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.Trim(text, "\n"), "\n", "\n"+by)
}

// make applies an instance. The spec is YAML in braces.
func (w *world) make(kind, name, spec string) {
	w.Helper()
	w.apply("apiVersion: GROUP/v1alpha1\nkind: " + kind + "\nmetadata: {name: " + name + ", namespace: NAMESPACE}\nspec: " + spec)
}

func (w *world) instance(kind, name string) *unstructured.Unstructured {
	return w.object("GROUP/v1alpha1", kind, name)
}

func (w *world) config(name string) *unstructured.Unstructured {
	return w.object("v1", "ConfigMap", name)
}

// reaches waits until an instance is in a state, for the spec that it has.
func (w *world) reaches(kind, name, want string) *unstructured.Unstructured {
	w.Helper()

	return w.eventually(w.instance(kind, name), "to be "+want, func(o *unstructured.Unstructured) bool {
		return state(o) == want && current(o)
	})
}

// says waits until a condition of an instance has a text in it.
func (w *world) says(kind, name, conditionType, text string) *unstructured.Unstructured {
	w.Helper()

	return w.eventually(w.instance(kind, name), "to say of "+conditionType+": "+text, func(o *unstructured.Unstructured) bool {
		return strings.Contains(condition(o, conditionType), text)
	})
}

// current says whether the conditions are about the spec that is there.
func current(o *unstructured.Unstructured) bool {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")

	return len(list) > 0 && !slices.ContainsFunc(list, func(item any) bool {
		c, _ := item.(map[string]any)

		return c["observedGeneration"] != o.GetGeneration()
	})
}

// merge changes an object as somebody else would, by a JSON merge patch in YAML or JSON.
func (w *world) merge(o *unstructured.Unstructured, patch string) {
	w.Helper()
	w.must(w.client.Patch(w.Context(), o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch))))
}

// mergeStatus does as merge with the status.
func (w *world) mergeStatus(o *unstructured.Unstructured, patch string) {
	w.Helper()
	w.must(w.client.Status().Patch(w.Context(), o.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch))))
}

func (w *world) get(o *unstructured.Unstructured) *unstructured.Unstructured {
	w.Helper()

	o = o.DeepCopy()
	w.must(w.client.Get(w.Context(), client.ObjectKeyFromObject(o), o))

	return o
}

func (w *world) there(o *unstructured.Unstructured) bool {
	w.Helper()

	err := w.client.Get(w.Context(), client.ObjectKeyFromObject(o), o.DeepCopy())
	w.must(client.IgnoreNotFound(err))

	return err == nil
}

func (w *world) delete(o *unstructured.Unstructured) {
	w.Helper()
	w.must(w.client.Delete(w.Context(), o.DeepCopy()))
}

func (w *world) gone(o *unstructured.Unstructured) {
	w.Helper()
	expect.Gone(w.T, w.client, o)
}

// with waits until a field of an object has a value, and returns the object.
func (w *world) with(o *unstructured.Unstructured, want any, path ...string) *unstructured.Unstructured {
	w.Helper()

	return w.eventually(o, "to have the value at "+strings.Join(path, "."), func(o *unstructured.Unstructured) bool {
		got, _, _ := unstructured.NestedFieldNoCopy(o.Object, path...)

		return cmp.Equal(got, want)
	})
}

// same fails the test when two values differ.
func (w *world) same(what string, want, got any) {
	w.Helper()

	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func field(o *unstructured.Unstructured, path ...string) any {
	value, _, _ := unstructured.NestedFieldNoCopy(o.Object, path...)

	return value
}

// writesOf are the requests about a namespace that change something.
func (r *run) writesOf(part string) []string {
	return slices.DeleteFunc(r.requests.Seen(), func(q string) bool {
		return strings.HasPrefix(q, "GET ") || !strings.Contains(q, part)
	})
}

// names is the schema of instances that have a name only.
const names = "spec: {name: string | default=app}"

func TestInstancesMarkAndOwnTheirObjects(t *testing.T) {
	t.Parallel()
	prove(t, map[string]func(*run){
		"§8.1 the finalizer and the inventory come before the first object, the status comes last": passOrder,
		"§8.2 objects carry every label and annotation, and keep their own":                        objectMarks,
		"§8.2 objects of a cluster-scoped instance lack its namespace":                             clusterScopedMarks,
		"§8.3 an instance carries its finalizer, labels and inventory":                             instanceMarks,
		"§8.3 marks that somebody takes off an instance come back":                                 instanceMarksReturn,
		"§8.4 a second instance neither overwrites an object nor becomes ACTIVE":                   secondInstance,
		"§8.4 an object that nobody owns is adopted, and keeps what others set":                    adoption,
		"§8.4 drift is reverted: a field, a label, a whole object":                                 drift,
		"§8.4 what a template does not set any more is removed":                                    removedField,
	})
}

func passOrder(r *run) {
	r.define("App", names, `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.name}"}, data: {k: v}}}`)
	r.make("App", "shop", "{name: shop}")
	r.reaches("App", "shop", "ACTIVE")

	var got []string

	for _, q := range r.writesOf("/namespaces/" + r.namespace + "/") {
		got = append(got, strings.NewReplacer(r.group, "GROUP", r.namespace, "NS", "%2F", "/", "&force=true", "", "force=true&", "").Replace(q))
	}

	r.same("writes", []string{
		"PATCH /apis/GROUP/v1alpha1/namespaces/NS/apps/shop?fieldManager=kro.run/labeller",
		"PATCH /apis/GROUP/v1alpha1/namespaces/NS/apps/shop?fieldManager=kro.run/applyset-parent",
		"PATCH /api/v1/namespaces/NS/configmaps/shop?fieldManager=kro.run/applyset",
		"PUT /apis/GROUP/v1alpha1/namespaces/NS/apps/shop/status?fieldManager=kro.run/status",
	}, got)
}

// marked is the labels that an object has from its instance.
func marked(instance *unstructured.Unstructured, node string, more map[string]string) map[string]string {
	gvk := instance.GroupVersionKind()
	labels := map[string]string{
		"kro.run/owned": "true", "kro.run/kro-version": "lockstep",
		"kro.run/instance-id": string(instance.GetUID()), "kro.run/instance-name": instance.GetName(),
		"kro.run/instance-group": gvk.Group, "kro.run/instance-version": gvk.Version, "kro.run/instance-kind": gvk.Kind,
		"kro.run/node-id": node, "app.kubernetes.io/managed-by": "kro",
		"applyset.kubernetes.io/part-of": setOf(instance),
	}

	if ns := instance.GetNamespace(); ns != "" {
		labels["kro.run/instance-namespace"] = ns
	}

	maps.Copy(labels, more)

	return labels
}

func setOf(instance *unstructured.Unstructured) string {
	gvk := instance.GroupVersionKind()
	sum := sha256.Sum256([]byte(instance.GetName() + "." + instance.GetNamespace() + "." + gvk.Kind + "." + gvk.Group))

	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

func objectMarks(r *run) {
	r.define("App", names, `
- id: a
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.spec.name}-a", labels: {team: red}, annotations: {note: "${schema.spec.name}"}}
- id: b
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${a.metadata.name}-b"}}
- id: zones
  forEach: [{zone: "${['x', 'y']}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.name + '-' + zone}"}}
- id: role
  template: {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: NAMESPACE-role}}`)
	r.make("App", "shop", "{name: shop}")
	instance := r.reaches("App", "shop", "ACTIVE")

	role := r.object("rbac.authorization.k8s.io/v1", "ClusterRole", r.namespace+"-role")
	role.SetNamespace("")

	for _, c := range []struct {
		object      *unstructured.Unstructured
		node, order string
		more        map[string]string
	}{
		{r.config("shop-a"), "a", "1", map[string]string{"team": "red"}},
		{r.config("shop-a-b"), "b", "2", nil},
		{r.config("shop-x"), "zones", "2", map[string]string{"kro.run/collection-index": "0", "kro.run/collection-size": "2"}},
		{r.config("shop-y"), "zones", "2", map[string]string{"kro.run/collection-index": "1", "kro.run/collection-size": "2"}},
		{role, "role", "2", nil},
	} {
		o := r.get(c.object)
		r.same("labels of "+o.GetName(), marked(instance, c.node, c.more), o.GetLabels())
		r.same("apply order of "+o.GetName(), c.order, o.GetAnnotations()["internal.kro.run/apply-order"])
		r.same("owners of "+o.GetName(), 0, len(o.GetOwnerReferences()))

		for _, m := range o.GetManagedFields() {
			r.same("field manager of "+o.GetName(), "kro.run/applyset", m.Manager)
		}
	}

	r.same("an annotation of the template", "shop", r.get(r.config("shop-a")).GetAnnotations()["note"])
	r.delete(instance)
	r.gone(role)
}

func clusterScopedMarks(r *run) {
	r.define("Tenant", "scope: Cluster\nspec: {place: string}", `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}", namespace: "${schema.spec.place}"}}}`)
	r.apply(`{apiVersion: GROUP/v1alpha1, kind: Tenant, metadata: {name: NAMESPACE-red}, spec: {place: NAMESPACE}}`)

	key := r.instance("Tenant", r.namespace+"-red")
	key.SetNamespace("")
	instance := r.eventually(key, "to be ACTIVE", inState("ACTIVE"))
	r.same("labels", marked(instance, "a", nil), r.get(r.config(r.namespace+"-red")).GetLabels())
	r.same("additional namespaces", r.namespace, instance.GetAnnotations()["applyset.kubernetes.io/additional-namespaces"])
	r.delete(key)
	r.gone(key)
	r.gone(r.config(r.namespace + "-red"))
}

// twoKinds has objects of two kinds, one of them in another namespace.
const twoKinds = `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.name}", namespace: default}}}
- id: role
  template: {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: "${schema.spec.name}"}}`

func instanceMarks(r *run) {
	r.define("App", names, twoKinds)
	r.apply(`{apiVersion: GROUP/v1alpha1, kind: App, metadata: {name: shop, namespace: NAMESPACE, labels: {team: red}}, spec: {name: NAMESPACE}}`)
	instance := r.reaches("App", "shop", "ACTIVE")
	definition := r.active(r.nameOf("App"))

	r.same("finalizers", []string{"kro.run/finalizer"}, instance.GetFinalizers())
	r.same("labels", map[string]string{
		"team": "red", "kro.run/owned": "true", "kro.run/kro-version": "lockstep",
		"kro.run/resource-graph-definition-id":   string(definition.UID),
		"kro.run/resource-graph-definition-name": definition.Name,
		"applyset.kubernetes.io/id":              setOf(instance),
	}, instance.GetLabels())

	annotations := instance.GetAnnotations()
	hash := annotations["internal.kro.run/applyset-inventory-hash"]

	if !strings.HasPrefix(hash, "sha256:") || len(hash) != len("sha256:")+64 {
		r.Errorf("the hash of the inventory is %q", hash)
	}

	delete(annotations, "internal.kro.run/applyset-inventory-hash")
	r.same("annotations", map[string]string{
		"applyset.kubernetes.io/tooling":               "kro/lockstep",
		"applyset.kubernetes.io/contains-group-kinds":  "ConfigMap,Role.rbac.authorization.k8s.io",
		"applyset.kubernetes.io/additional-namespaces": "default",
	}, annotations)

	managers := map[string]bool{}
	for _, m := range instance.GetManagedFields() {
		managers[m.Manager] = true
	}

	r.same("field managers", map[string]bool{
		"test": true, "kro.run/labeller": true, "kro.run/applyset-parent": true, "kro.run/status": true,
	}, managers)
	r.delete(instance)
	r.gone(instance)
}

func instanceMarksReturn(r *run) {
	r.define("App", names, twoKinds)
	r.make("App", "shop", "{name: NAMESPACE}")

	before := r.reaches("App", "shop", "ACTIVE")
	for _, patch := range []string{
		`{"metadata":{"labels":{"kro.run/owned":null}}}`,
		`{"metadata":{"labels":{"applyset.kubernetes.io/id":null}}}`,
		`{"metadata":{"finalizers":null}}`,
		`{"metadata":{"annotations":null}}`,
		`{"metadata":{"annotations":{"applyset.kubernetes.io/contains-group-kinds":"Pod"}}}`,
	} {
		r.merge(before, patch)
		r.eventually(before, "to have its marks again after "+patch, func(o *unstructured.Unstructured) bool {
			return cmp.Equal(o.GetLabels(), before.GetLabels()) && cmp.Equal(o.GetFinalizers(), before.GetFinalizers()) &&
				cmp.Equal(o.GetAnnotations(), before.GetAnnotations())
		})
	}

	r.delete(before)
	r.gone(before)
}

// greeting is one object.
const greeting = `
- id: a
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.spec.name}"}
    data: {greeting: "${schema.metadata.name}", more: "true"}`

func secondInstance(r *run) {
	r.define("App", names, greeting)
	r.make("App", "first", "{name: shared}")
	r.reaches("App", "first", "ACTIVE")
	before := r.get(r.config("shared"))

	r.make("App", "second", "{name: shared}")
	second := r.reaches("App", "second", "ERROR")

	for _, text := range []string{"resource reconciliation failed: ", "belongs to ApplySet " + setOf(r.reaches("App", "first", "ACTIVE")), "cannot reassign"} {
		if got := condition(second, "ResourcesReady"); !strings.Contains(got, text) {
			r.Errorf("the condition %q does not say %q", got, text)
		}
	}

	after := r.get(r.config("shared"))
	r.same("the object", before.Object, after.Object)

	r.delete(r.instance("App", "first"))
	r.reaches("App", "second", "ACTIVE")
	r.same("the new owner's object", "second", field(r.get(r.config("shared")), "data", "greeting"))
}

func adoption(r *run) {
	r.define("App", names, greeting)
	r.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: old, namespace: NAMESPACE, labels: {team: red}}, data: {greeting: mine, kept: "yes"}}`)
	uid := r.get(r.config("old")).GetUID()
	r.make("App", "shop", "{name: old}")

	instance := r.reaches("App", "shop", "ACTIVE")
	o := r.get(r.config("old"))
	r.same("data", map[string]any{"greeting": "shop", "more": "true", "kept": "yes"}, field(o, "data"))
	r.same("labels", marked(instance, "a", map[string]string{"team": "red"}), o.GetLabels())
	r.same("UID", uid, o.GetUID())
}

func drift(r *run) {
	r.define("App", names, greeting)
	r.make("App", "shop", "{name: shop}")
	r.reaches("App", "shop", "ACTIVE")

	key := r.config("shop")
	before := r.get(key)
	r.merge(key, `{"data":{"greeting":"changed","kept":"yes"}}`)
	r.with(key, "shop", "data", "greeting")
	r.merge(key, `{"data":{"more":null}}`)
	r.with(key, "true", "data", "more")
	r.same("what somebody else has set", "yes", field(r.get(key), "data", "kept"))

	for _, label := range []string{"kro.run/node-id", "applyset.kubernetes.io/part-of"} {
		r.merge(key, `{"metadata":{"labels":{"`+label+`":null}}}`)
		r.with(key, before.GetLabels()[label], "metadata", "labels", label)
	}

	r.merge(key, `{"metadata":{"annotations":{"lockstep.dev/applied":"0"}}}`)
	r.with(key, before.GetAnnotations()["lockstep.dev/applied"], "metadata", "annotations", "lockstep.dev/applied")

	r.delete(key)
	r.eventually(key, "to be made again", func(o *unstructured.Unstructured) bool {
		return o.GetUID() != before.GetUID() && field(o, "data", "greeting") == "shop"
	})
	r.reaches("App", "shop", "ACTIVE")
}

func removedField(r *run) {
	r.define("App", names, greeting)
	r.make("App", "shop", "{name: shop}")
	r.reaches("App", "shop", "ACTIVE")
	r.merge(r.config("shop"), `{"data":{"kept":"yes"}}`)
	r.apply(r.definitionOf("App", names, strings.ReplaceAll(greeting, `, more: "true"`, "")))
	r.with(r.config("shop"), map[string]any{"greeting": "shop", "kept": "yes"}, "data")
}

func TestAdoptionIsAskedForWhereThatIsTheRule(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.start(func(p *parts) { p.AdoptAlways = false })
	w.define("App", names, greeting)
	w.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: old, namespace: NAMESPACE}, data: {greeting: mine}}`)
	w.make("App", "shop", "{name: old}")
	w.reaches("App", "shop", "ERROR")
	w.says("App", "shop", "ResourcesReady", `put the annotation lockstep.dev/adopt: "true" on the template`)
	w.same("the object", "mine", field(w.get(w.config("old")), "data", "greeting"))

	w.make("App", "other", "{name: new}")
	w.reaches("App", "other", "ACTIVE")

	w.apply(w.definitionOf("App", names, strings.ReplaceAll(greeting,
		`{name: "${schema.spec.name}"}`, `{name: "${schema.spec.name}", annotations: {lockstep.dev/adopt: "true"}}`)))
	w.reaches("App", "shop", "ACTIVE")
	w.with(w.config("old"), "shop", "data", "greeting")
}

func TestAnObjectInTheWayThatGoesIsNoLongerInTheWay(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.start(func(p *parts) { p.AdoptAlways = false })
	w.define("App", names, greeting)
	w.must(w.client.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "old"}}))
	w.make("App", "shop", "{name: old}")
	w.reaches("App", "shop", "ERROR")
	w.delete(w.config("old"))
	w.reaches("App", "shop", "ACTIVE")
}
