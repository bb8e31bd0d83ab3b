package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph/crd"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// crd returns the key of the CustomResourceDefinition of a kind of the world's group.
func (w *world) crd(kind string) *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: crd.Plural(kind) + "." + w.group}}
}

// crdWith waits until the CustomResourceDefinition of a kind satisfies the condition.
func (w *world) crdWith(kind, what string, condition func(*apiextensionsv1.CustomResourceDefinition) bool) *apiextensionsv1.CustomResourceDefinition {
	w.Helper()

	return expect.Object(w.T, w.client, w.crd(kind), what, condition)
}

// liveCRD returns the CustomResourceDefinition of a kind as it is.
func (w *world) liveCRD(kind string) *apiextensionsv1.CustomResourceDefinition {
	w.Helper()

	live := w.crd(kind)
	w.must(w.client.Get(w.Context(), client.ObjectKeyFromObject(live), live))

	return live
}

// patch changes a typed object as somebody else would, by a JSON merge patch.
func (w *world) patch(o client.Object, body string) {
	w.Helper()
	w.must(w.client.Patch(w.Context(), o, client.RawPatch("application/merge-patch+json", []byte(body))))
}

func specOf(live *apiextensionsv1.CustomResourceDefinition) apiextensionsv1.JSONSchemaProps {
	return live.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
}

func TestDefinitionsMakeAndKeepTheirKinds(t *testing.T) {
	t.Parallel()
	prove(t, map[string]func(*run){
		"§6 the kind carries names, columns, labels and nobody as its owner": kindMarks,
		"§6 a cluster-scoped kind": clusterKind,
		"§6 each breaking change is refused, named, and let through by the annotation":           breakingChanges,
		"§6 §15 crd_test: three breaking changes are listed, the kind stays and goes on working": manyBreakingChanges,
		"§6 what does not break anything is no breaking change":                                  harmlessChanges,
		"§6 §16.2 everything of a definition reaches a kind that exists":                         propagation,
		"§6 a kind of somebody else is not touched":                                              foreignKind,
		"§6 a kind that says it is not owned, or that it is":                                     ownedLabel,
		"§6 a kind of another definition is not touched, whatever becomes of the second one":     secondDefinition,
		"§6 a deleted kind comes back and its instances work":                                    deletedKind,
		"§6 what somebody edits in a kind is put back":                                           editedKind,
		"§6 a name that another kind has keeps the definition from being ready":                  takenName,
	})
}

func kindMarks(r *run) {
	r.define("Policy", names+`
shortNames: [NAMESPACE-p]
categories: [things]
metadata: {labels: {team: red}, annotations: {note: x}}`, oneObject)

	d, live := r.active(r.nameOf("Policy")), r.liveCRD("Policy")
	r.same("names", apiextensionsv1.CustomResourceDefinitionNames{
		Plural: "policies", Singular: "policy", Kind: "Policy", ListKind: "PolicyList",
		ShortNames: []string{r.namespace + "-p"}, Categories: []string{"things"},
	}, live.Spec.Names)
	r.same("labels", map[string]string{
		"kro.run/owned": "true", "kro.run/kro-version": "lockstep", "kro.run/resource-graph-definition-id": string(d.UID),
		"kro.run/resource-graph-definition-name": d.Name, "team": "red",
	}, live.Labels)
	r.same("annotation", "x", live.Annotations["note"])
	r.same("owners", 0, len(live.OwnerReferences))
	r.same("columns", []string{
		"0 State .status.state", `0 Ready .status.conditions[?(@.type=="Ready")].status`, "0 Age .metadata.creationTimestamp",
	}, columnsOf(live))
	r.same("versions", 1, len(live.Spec.Versions))
	r.same("served, stored, with a status", []bool{true, true, true}, []bool{
		live.Spec.Versions[0].Served, live.Spec.Versions[0].Storage, live.Spec.Versions[0].Subresources.Status != nil,
	})
	r.same("required", 0, len(live.Spec.Versions[0].Schema.OpenAPIV3Schema.Required))
}

func clusterKind(r *run) {
	r.define("Tenant", "scope: Cluster\n"+names, `
- {id: a, template: {apiVersion: v1, kind: Namespace, metadata: {name: "NAMESPACE-${schema.spec.name}"}}}`)
	r.same("scope", apiextensionsv1.ClusterScoped, r.liveCRD("Tenant").Spec.Scope)
}

// breaking has what breaks an instance or its readers, by the sentence about it.
func breaking() map[string][2]string {
	return map[string][2]string{
		"spec.b: property removed":                         {"spec: {a: string, b: string}", "spec: {a: string}"},
		"status.w: property removed":                       {statusOf("x, w"), statusOf("x")},
		"spec.a: type changed from string to integer":      {"spec: {a: string}", "spec: {a: integer}"},
		"status.x: type changed from string to integer":    {statusOf("x"), "status: {x: '${size(a.metadata.name)}'}"},
		"spec.b: newly required, without a default":        {"spec: {a: string}", "spec: {a: string, b: string | required=true}"},
		"spec.a: default removed from a required property": {"spec: {a: string | required=true default=x}", "spec: {a: string | required=true}"},
		`spec.a: enum value "two" removed`:                 {`spec: {a: 'string | enum="one,two"'}`, `spec: {a: 'string | enum="one"'}`},
		"spec.a: pattern ^x added":                         {"spec: {a: string}", `spec: {a: 'string | pattern="^x"'}`},
		"spec.a: pattern changed from ^x to ^y":            {`spec: {a: 'string | pattern="^x"'}`, `spec: {a: 'string | pattern="^y"'}`},
		"spec.a: minimum 2 added":                          {"spec: {a: integer}", "spec: {a: integer | minimum=2}"},
		"spec.a: minimum tightened from 2 to 3":            {"spec: {a: integer | minimum=2}", "spec: {a: integer | minimum=3}"},
		"spec.a: maximum tightened from 3 to 2":            {"spec: {a: integer | maximum=3}", "spec: {a: integer | maximum=2}"},
		"spec.a: maximum 2 added":                          {"spec: {a: integer}", "spec: {a: integer | maximum=2}"},
		"spec.a: minLength 1 added":                        {"spec: {a: string}", "spec: {a: string | minLength=1}"},
		"spec.a: maxLength tightened from 9 to 8":          {"spec: {a: string | maxLength=9}", "spec: {a: string | maxLength=8}"},
		"spec.a: minItems 1 added":                         {"spec: {a: '[]string'}", "spec: {a: '[]string | minItems=1'}"},
		"spec.a: maxItems tightened from 9 to 8":           {"spec: {a: '[]string | maxItems=9'}", "spec: {a: '[]string | maxItems=8'}"},
		"spec.a[*].w: property removed":                    {"types: {T: {x: string, w: string}}\nspec: {a: '[]T'}", "types: {T: {x: string}}\nspec: {a: '[]T'}"},
		"spec.a.*: type changed from string to integer":    {"spec: {a: 'map[string]string'}", "spec: {a: 'map[string]integer'}"},
		"spec.o.i.a: type changed from string to boolean":  {"spec: {o: {i: {a: string}}}", "spec: {o: {i: {a: boolean}}}"},
	}
}

func statusOf(fields string) string {
	var all []string

	for name := range strings.SplitSeq(fields, ", ") {
		all = append(all, name+": '${a.metadata.name}'")
	}

	return "status: {" + strings.Join(all, ", ") + "}"
}

func breakingChanges(r *run) {
	changes := breaking()
	kind := func(n int) string { return fmt.Sprintf("Kind%d", n) }
	sentences := make([]string, 0, len(changes))

	for sentence, change := range changes {
		r.apply(r.definitionOf(kind(len(sentences)), change[0], oneObject))
		sentences = append(sentences, sentence)
	}

	for n, sentence := range sentences {
		r.active(r.nameOf(kind(n)))
		r.apply(r.definitionOf(kind(n), changes[sentence][1], oneObject))
	}

	for n, sentence := range sentences {
		d := r.judged(kind(n), kindReady, "breaking")
		live := r.liveCRD(kind(n))
		r.contains(verdict(d, kindReady), "False/Failed: cannot update CRD "+live.Name+": breaking changes detected: "+sentence)
		r.same("state: "+sentence, krov1alpha1.StateInactive, d.Status.State)
		r.same("Ready: "+sentence, verdict(d, kindReady), verdict(d, "Ready"))
		r.contains(verdict(d, graphAccepted), "True/Valid")
		// The annotation alone, with no change of the spec.
		r.patch(d, `{"metadata":{"annotations":{"kro.run/allow-breaking-changes":"true"}}}`)
		r.active(d.Name)

		if r.liveCRD(kind(n)).Generation == live.Generation {
			r.Errorf("the annotation does not let through: %s", sentence)
		}
	}
}

func manyBreakingChanges(r *run) {
	r.define("App", "spec: {a: string, b: string, c: string, d: string, e: string}", `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {k: "${schema.spec.a}"}}}`)
	r.make("App", "shop", "{a: one, e: kept}")
	r.reaches("App", "shop", "ACTIVE")
	r.apply(r.definitionOf("App", "spec: {a: string}", `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {k: "${schema.spec.a}"}}}`))

	d := r.judged("App", kindReady, "breaking")
	r.contains(verdict(d, kindReady), "spec.b: property removed; spec.c: property removed; spec.d: property removed and 1 more changes",
		"kro.run/allow-breaking-changes")

	// The instances go on by the graph that fits the kind.
	r.make("App", "shop", "{a: two, e: kept}")
	o := r.with(r.config("shop"), "two", "data", "k")
	r.same("name", "shop", o.GetName())
	r.same("a field that the definition does not have any more", "kept", field(r.get(r.instance("App", "shop")), "spec", "e"))
	r.contains(verdict(r.judged("App", controllerReady, "Running"), controllerReady), "True/Running")
}

func harmlessChanges(r *run) {
	r.define("App", `
spec:
  a: integer | minimum=2 maximum=4
  b: string | minLength=2 maxLength=4 pattern="x"
  c: 'string | enum="one,two"'
  d: string
  e: "[]string | minItems=1 maxItems=2"
  f: string | required=true`, oneObject)
	d := r.redefine("App", `
spec:
  a: integer | minimum=1 maximum=5
  b: string | minLength=1
  c: 'string | enum="one,two,three"'
  d: 'string | enum="one" description="what it is"'
  e: "[]string"
  f: string
  g: string
  h: string | required=true default=x`, oneObject)
	r.same("last revision", int64(2), d.Status.LastIssuedRevision)

	spec := specOf(r.liveCRD("App"))
	r.same("minimum", new(1.0), spec.Properties["a"].Minimum)
	r.same("pattern", "", spec.Properties["b"].Pattern)
	r.same("values", 3, len(spec.Properties["c"].Enum))
	r.same("required", []string{"h"}, spec.Required)
}

func propagation(r *run) {
	r.define("App", `
types: {T: {x: string}}
metadata: {labels: {team: red, old: x}}
spec: {a: string, l: "[]T", m: "map[string]T"}`, oneObject)
	r.make("App", "shop", "{a: one}")
	r.redefine("App", `
types: {T: {x: string | default=d, more: string}}
metadata: {labels: {team: blue}, annotations: {note: new}}
shortNames: [NAMESPACE-a]
categories: [things]
additionalPrinterColumns: [{name: A, type: string, jsonPath: .spec.a, priority: 1}]
spec:
  a: string | immutable=true validation="self != 'bad'" description="what"
  l: "[]T | listType=map listMapKey=x"
  m: "map[string]T"`, oneObject)

	live := r.liveCRD("App")
	spec := specOf(live)
	r.same("columns", []string{"1 A .spec.a"}, columnsOf(live))
	r.same("rules", []string{"field is immutable", "validation failed"}, rulesOf(spec.Properties["a"]))
	r.same("list type", new("map"), spec.Properties["l"].XListType)
	r.same("keys", []string{"x"}, spec.Properties["l"].XListMapKeys)
	r.same("map values", "string", spec.Properties["m"].AdditionalProperties.Schema.Properties["more"].Type)
	r.same("description", "what", spec.Properties["a"].Description)
	r.same("label", "blue", live.Labels["team"])
	r.same("annotation", "new", live.Annotations["note"])
	r.same("short names", []string{r.namespace + "-a"}, live.Spec.Names.ShortNames)
	r.same("categories", []string{"things"}, live.Spec.Names.Categories)
	r.refused("field is immutable", "apiVersion: GROUP/v1alpha1\nkind: App\nmetadata: {name: shop, namespace: NAMESPACE}\nspec: {a: two}")
}

func rulesOf(s apiextensionsv1.JSONSchemaProps) []string {
	var all []string
	for _, v := range s.XValidations {
		all = append(all, v.Message)
	}

	return slices.Sorted(slices.Values(all))
}

// foreign is a kind that somebody else made, with more labels in braces.
func foreign(labels string) string {
	return `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: apps.GROUP, labels: ` + labels + `}
spec:
  group: GROUP
  names: {kind: App, listKind: AppList, plural: apps, singular: app}
  scope: Namespaced
  versions:
    - name: v1alpha1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object}, status: {type: object}}}}
`
}

func foreignKind(r *run) {
	plane.InstallCRD(r.T, []byte(strings.ReplaceAll(foreign("{}"), "GROUP", r.group)))

	before := r.liveCRD("App")
	r.apply(r.definitionOf("App", names, oneObject))

	d := r.judged("App", kindReady, "False/Failed")
	r.contains(verdict(d, kindReady), "CRD already exists and is not owned by KRO")
	r.same("state", krov1alpha1.StateInactive, d.Status.State)
	r.same("the kind", before.ResourceVersion, r.liveCRD("App").ResourceVersion)

	// Nobody's instances are taken by it.
	r.make("App", "shop", "{}")
	r.must(r.client.Delete(r.Context(), d))
	expect.Gone(r.T, r.client, d)
	r.same("the kind", before.ResourceVersion, r.liveCRD("App").ResourceVersion)
	r.same("finalizers of somebody's object", 0, len(r.get(r.instance("App", "shop")).GetFinalizers()))
}

func ownedLabel(r *run) {
	// The label of whoever manages a kind counts only where there is none about the owner.
	plane.InstallCRD(r.T, []byte(strings.ReplaceAll(foreign(`{app.kubernetes.io/managed-by: kro, kro.run/owned: "false"}`), "GROUP", r.group)))
	r.apply(r.definitionOf("App", names, oneObject))
	r.judged("App", kindReady, "CRD already exists and is not owned by KRO")
	r.patch(r.crd("App"), `{"metadata":{"labels":{"kro.run/owned":null}}}`)
	r.active(r.nameOf("App"))
	r.same("owner", r.nameOf("App"), r.liveCRD("App").Labels["kro.run/resource-graph-definition-name"])
}

func secondDefinition(r *run) {
	r.define("App", names, oneObject)

	first := r.nameOf("App")
	r.apply(strings.Replace(r.definitionOf("App", "spec: {other: string}", oneObject), "name: "+first, "name: "+first+"-2", 1))

	d := r.definition(first+"-2", "to be refused its kind", func(d *krov1alpha1.ResourceGraphDefinition) bool {
		return strings.Contains(verdict(d, kindReady), "CRD is owned by another ResourceGraphDefinition "+first)
	})
	r.same("state", krov1alpha1.StateInactive, d.Status.State)
	r.contains(verdict(d, kindReady), "False/Failed")

	if got := verdict(d, controllerReady); strings.HasPrefix(got, "True") {
		r.Errorf("the second definition says that its instances are looked after: %s", got)
	}

	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")
	r.must(r.client.Delete(r.Context(), d))
	expect.Gone(r.T, r.client, d)
	r.make("App", "store", "{}")
	r.reaches("App", "store", "ACTIVE")
	r.same("owner", first, r.liveCRD("App").Labels["kro.run/resource-graph-definition-name"])
}

func deletedKind(r *run) {
	r.define("App", names, oneObject)
	r.make("App", "shop", "{}")
	r.reaches("App", "shop", "ACTIVE")

	before := r.liveCRD("App")
	r.must(r.client.Delete(r.Context(), before))
	r.crdWith("App", "to be another", func(c *apiextensionsv1.CustomResourceDefinition) bool { return c.UID != before.UID })
	r.active(r.nameOf("App"))
	r.same("what stood behind the instance", false, r.there(r.config("shop")))
	// The server takes instances a moment after it says so.
	r.untilServed("App")
	r.make("App", "store", "{}")
	r.reaches("App", "store", "ACTIVE")
	r.delete(r.instance("App", "store"))
	r.gone(r.instance("App", "store"))
	r.same("last revision", int64(1), r.active(r.nameOf("App")).Status.LastIssuedRevision)
}

// untilServed waits until the server serves a kind.
func (w *world) untilServed(kind string) {
	w.Helper()
	w.crdWith(kind, "to be served", func(c *apiextensionsv1.CustomResourceDefinition) bool {
		return slices.ContainsFunc(c.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
			return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
		})
	})
}

func editedKind(r *run) {
	r.define("App", names+"\nshortNames: [NAMESPACE-e]", oneObject)

	before := r.liveCRD("App")
	back := func(c *apiextensionsv1.CustomResourceDefinition) bool {
		return c.ResourceVersion != before.ResourceVersion && c.Labels["kro.run/resource-graph-definition-name"] == r.nameOf("App") &&
			len(columnsOf(c)) == 3 && len(c.Spec.Names.ShortNames) == 1 && len(specOf(c).Properties) == 1 && c.Labels["kro.run/owned"] == "true"
	}

	for _, edit := range []string{
		`[{"op":"remove","path":"/spec/names/shortNames"}]`,
		`[{"op":"remove","path":"/spec/versions/0/additionalPrinterColumns/0"}]`,
		`[{"op":"remove","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/name"}]`,
		`[{"op":"remove","path":"/metadata/labels/kro.run~1resource-graph-definition-name"}]`,
		`[{"op":"replace","path":"/metadata/labels/kro.run~1kro-version","value":"v0.9"}]`,
	} {
		edited := r.crd("App")
		r.must(r.client.Patch(r.Context(), edited, client.RawPatch("application/json-patch+json", []byte(edit))))

		version := edited.ResourceVersion
		r.crdWith("App", "to be as before after "+edit, func(c *apiextensionsv1.CustomResourceDefinition) bool {
			return c.ResourceVersion != version && back(c)
		})
	}

	r.same("labels", before.Labels, r.liveCRD("App").Labels)
}

func takenName(r *run) {
	r.define("App", names+"\nshortNames: [NAMESPACE-n]", oneObject)
	r.apply(r.definitionOf("Other", names+"\nshortNames: [NAMESPACE-n]", oneObject))

	d := r.judged("Other", kindReady, "already in use")
	r.contains(verdict(d, kindReady), "Unknown/", r.namespace+"-n")
	r.same("state", krov1alpha1.StateInactive, d.Status.State)
}

func TestDefinitionsWhoseKindTheServerRefusesAreNotTriedAgainAndAgain(t *testing.T) {
	t.Parallel()

	r := newWorld(t).start(func(p *parts) { p.FirstRetry = time.Millisecond })
	r.apply(r.definitionOf("App", `spec: {a: 'string | validation="self.nothing()"'}`, oneObject))

	d := r.judged("App", "Ready", "False/")
	r.contains(verdict(d, kindReady), "cannot create CRD", "undeclared reference")
	r.same("state", krov1alpha1.StateInactive, d.Status.State)
	// Other definitions have their turns meanwhile; the first one ends what its own writes may have started here.
	r.define("First", names, oneObject)

	tried := len(r.requested("POST /apis/apiextensions.k8s.io"))
	r.define("Second", names, oneObject)
	r.same("kinds created", tried+1, len(r.requested("POST /apis/apiextensions.k8s.io")))
	r.redefine("App", names, oneObject)
	r.same("kinds created", tried+2, len(r.requested("POST /apis/apiextensions.k8s.io")))
}

// requested are the requests so far that begin with a text.
func (r *run) requested(prefix string) []string {
	return slices.DeleteFunc(r.requests.Seen(), func(q string) bool { return !strings.HasPrefix(q, prefix) })
}
