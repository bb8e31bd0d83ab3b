package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/config"
	writes "github.com/lockstep-dev/lockstep/internal/apply"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/applyset"
	"github.com/lockstep-dev/lockstep/internal/graph/manifest"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

func TestMain(m *testing.M) { os.Exit(plane.Main(m)) }

// manager does what the manager does with the nodes of an instance, and no more: tests decide when.
type manager struct {
	objects  *writes.Objects
	dynamic  dynamic.Interface
	instance *unstructured.Unstructured
	reader   *graphCluster
}

func (m *manager) read(ctx context.Context, n *graph.Node, r graph.Reference) graph.Outcome {
	return m.reader.read(ctx, n, r)
}

func (m *manager) make(ctx context.Context, n *graph.Node, desired []*unstructured.Unstructured) graph.Outcome {
	outcome := graph.Outcome{Objects: make([]*unstructured.Unstructured, len(desired))}

	for i, o := range desired {
		applyset.Mark(o, m.instance, n, i, len(desired))

		made, err := m.objects.Apply(ctx, n.Resource, o, applyset.OwnerChildren)
		outcome.Objects[i], outcome.Err = made, errors.Join(outcome.Err, err)
	}

	return outcome
}

// shop is the definition of the test data and one instance of it, on the plane.
type shop struct {
	t         *testing.T
	namespace string
	graph     *graph.Graph
	manager   *manager
}

func newShop(t *testing.T) *shop {
	t.Helper()

	for _, file := range []string{"kro.run_resourcegraphdefinitions", "internal.kro.run_graphrevisions"} {
		content, err := config.Files.ReadFile("dialects/graph/crd/" + file + ".yaml")
		if err != nil {
			t.Fatal(err)
		}

		plane.InstallCRD(t, content)
	}

	files := &graphFiles{streams: genericiooptions.NewTestIOStreamsDiscard(), definitions: []string{graphData("shop.yaml")}}

	set, err := files.good(nil)
	if err != nil {
		t.Fatal(err)
	}

	objects, err := writes.NewObjects(plane.Config(t))
	if err != nil {
		t.Fatal(err)
	}

	access, err := dynamic.NewForConfig(plane.Config(t))
	if err != nil {
		t.Fatal(err)
	}

	g := set.Definitions[0].Graph
	m := &manager{objects: objects, dynamic: access, reader: &graphCluster{dynamic: access}}

	return &shop{t: t, namespace: plane.Namespace(t), graph: g, manager: m}
}

// serve makes the kind of the definition known to the plane, and the definition itself with a revision.
func (s *shop) serve() {
	s.t.Helper()

	text, err := yaml.Marshal(s.graph.CRD)
	if err != nil {
		s.t.Fatal(err)
	}

	plane.InstallCRD(s.t, text)

	content, err := os.ReadFile(graphData("shop.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}

	documents, _ := manifest.Read("shop.yaml", content)
	s.apply(documents[0].Object, "author")

	spec := documents[0].Object.DeepCopy().Object["spec"]
	for n := range 2 {
		s.apply(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "internal.kro.run/v1alpha1", "kind": "GraphRevision",
			"metadata": map[string]any{
				"name": fmt.Sprintf("cli-shops-r%05d", n+1), "labels": map[string]any{applyset.LabelDefinitionName: "cli-shops"},
			},
			"spec": map[string]any{"revision": int64(n + 1), "snapshot": map[string]any{"name": "cli-shops", "spec": spec}},
		}}, "kro.run/revisions")
	}
}

func (s *shop) apply(o *unstructured.Unstructured, owner string) {
	s.t.Helper()

	config := client.ApplyConfigurationFromUnstructured(o.DeepCopy())
	if err := plane.Client(s.t).Apply(s.t.Context(), config, client.FieldOwner(owner), client.ForceOwnership); err != nil {
		s.t.Fatalf("apply %s: %v", titleOf(o), err)
	}
}

// file writes an instance to a file and returns its name.
func (s *shop) file(spec string) string {
	s.t.Helper()

	name := filepath.Join(s.t.TempDir(), "instance.yaml")
	text := "apiVersion: cli.example.com/v1alpha1\nkind: Shop\nmetadata: {name: shop}\nspec: " + spec + "\n"

	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}

	return name
}

// make puts an instance on the plane and makes its objects, as far as that goes.
func (s *shop) make(file string) {
	s.t.Helper()

	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}

	documents, _ := manifest.Read(file, content)
	instance := documents[0].Object
	instance.SetNamespace(s.namespace)
	s.apply(instance, "owner")

	s.manager.instance, err = s.manager.reader.get(s.t.Context(), s.graph.Resource, s.namespace, "shop")
	if err != nil {
		s.t.Fatal(err)
	}

	walkGraph(s.t.Context(), s.graph, s.manager.instance, s.manager)
}

// ready waits until the Deployment is rolled out. Before, it may be available and cease to be so again: while a Pod more
// than wanted is available, too.
func (s *shop) ready() {
	s.t.Helper()

	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "shop"}}
	expect.Object(s.t, plane.Client(s.t), d, "to be rolled out", func(d *appsv1.Deployment) bool {
		wanted, is := *d.Spec.Replicas, d.Status

		return is.ObservedGeneration == d.Generation &&
			is.Replicas == wanted && is.UpdatedReplicas == wanted && is.AvailableReplicas == wanted
	})
}

// secret writes the external Secret.
func (s *shop) secret(password, owner string) {
	s.t.Helper()

	s.apply(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"namespace": s.namespace, "name": "shop-credentials"},
		"stringData": map[string]any{"password": password},
	}}, owner)
}

// run runs a verb of graph on the plane. What differs from run to run is replaced.
func (s *shop) run(args ...string) string {
	s.t.Helper()

	text := graphRun(s.t, "", append(args, "--kubeconfig", plane.Kubeconfig(s.t), "-n", s.namespace)...)

	for pattern, name := range map[string]string{
		s.namespace:                             "NAMESPACE",
		`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`:        "DATE AND TIME HERE.",
		`digest:[0-9a-f]+`:                      "DIGEST",
		`applyset-[A-Za-z0-9_-]+-v1`:            "APPLYSET",
		`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}`: "UID",
		`(credentials|token): "\d+"`:            `$1: "VERSION"`,
		`(clusterIPs?: |- )(\d+\.\d+\.\d+\.\d+|[0-9a-f:]+::[0-9a-f]+)`: "${1}IP",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, name)
	}

	return text
}

func TestGraphPlanFromNothingToDeletion(t *testing.T) {
	t.Parallel()

	s := newShop(t)
	first := s.file("{regions: [eu, us]}")

	s.secret("hunter2", "admin")
	goldenText(t, "plan-before.golden", s.run("plan", "-f", graphData("shop.yaml"), "-i", first))

	s.serve()
	s.make(first)
	s.ready()
	s.make(first)

	got := s.run("plan", "-f", graphData("shop.yaml"), "-i", first, "--exit-code")
	goldenText(t, "plan-same.golden", got)

	second := s.file(`{regions: [eu], replicas: 3, password: battery-staple}`)
	got = s.run("plan", "-f", graphData("shop.yaml"), "-i", second, "--exit-code")
	goldenText(t, "plan-change.golden", got)

	for _, secret := range []string{"hunter2", "correct-horse", "battery-staple", "Y29ycmVjdC1ob3JzZQ", "YmF0dGVyeS1zdGFwbGU"} {
		if strings.Contains(got, secret) {
			t.Errorf("the plan shows the content of a Secret: %s", secret)
		}
	}

	var secret corev1.Secret
	if err := plane.Client(t).Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "shop-token"}, &secret); err != nil {
		t.Fatal(err)
	}

	if got := string(secret.Data["password"]); got != "correct-horse" {
		t.Errorf("the plan has changed the Secret: it has %q", got)
	}

	goldenText(t, "plan-all.golden", s.run("plan", "-f", graphData("shop.yaml")))
	s.explain(first)
}

func TestGraphPlanOfKindsThatAreNotServedYet(t *testing.T) {
	t.Parallel()

	s := newShop(t)

	// The account of the definition has no rights here, and is not given more than it has.
	goldenText(t, "plan-nested.golden", s.run("plan", "-f", graphData("nested.yaml"), "--crds", graphData("crds"), "-i", graphData("instance-cluster.yaml")))
}

func TestGraphPlanOwnership(t *testing.T) {
	t.Parallel()

	instance := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "shop"}}}

	for name, tc := range map[string]struct {
		set        string
		adopt      bool
		note, errs string
	}{
		"§8.4 an own object":                  {applyset.ID(instance), false, "", ""},
		"§8.4 somebody else's":                {"applyset-x-v1", true, "", "ConfigMap a belongs to ApplySet applyset-x-v1, cannot reassign it"},
		"§8.4 nobody's":                       {"", false, "it exists and is not this instance's: taken over if the manager adopts always, else refused", ""},
		"§8.4 nobody's, and the template may": {"", true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			live := &unstructured.Unstructured{Object: map[string]any{"kind": "ConfigMap", "metadata": map[string]any{"name": "a"}}}
			if tc.set != "" {
				live.SetLabels(map[string]string{applyset.LabelPartOf: tc.set})
			}

			note, err := ownership(live, instance, &graph.Node{Adopt: tc.adopt})
			if note != tc.note {
				t.Errorf("note: got %q, want %q", note, tc.note)
			}

			if got := fmt.Sprint(err); got != tc.errs && (tc.errs != "" || err != nil) {
				t.Errorf("error: got %q, want %q", got, tc.errs)
			}
		})
	}
}

// explain goes through an instance's life once more, by what explain says of it.
func (s *shop) explain(file string) {
	t := s.t

	s.ready()

	ready := s.run("explain", "shop", "shop")
	s.cell(ready, "app", "STATE", "SYNCED")
	s.cell(ready, "app", "OBJECT", "Deployment/shop")
	s.cell(ready, "app", "WAITS FOR", "-")
	s.cell(ready, "regional", "OBJECT", "ConfigMap/shop-eu (2)")
	s.cell(ready, "regional", "LAST MOVED BY", "Shop shop, owner, DATE AND TIME HERE.")

	if want := "definition cli-shops, revision 2, "; !strings.Contains(ready, want) {
		t.Errorf("got %q, want it to say %q", ready, want)
	}

	s.secret("hunter3", "rotator")
	s.cell(s.run("explain", "shops.cli.example.com/shop"), "app", "WAITS FOR", "Deployment NAMESPACE/shop is to be applied anew")

	s.make(file)
	s.ready()

	applied := s.run("explain", "Shop.cli.example.com", "shop")
	s.cell(applied, "app", "LAST MOVED BY", "Secret shop-credentials, rotator, DATE AND TIME HERE.")
	s.cell(applied, "app", "WAITS FOR", "-")

	s.delete("apps", "deployments", "shop")

	deleted := s.run("explain", "shop", "shop")
	s.cell(deleted, "app", "STATE", "IN_PROGRESS")
	s.cell(deleted, "app", "WAITS FOR", `the manager: node "app": Deployment NAMESPACE/shop has not been made`)
	s.cell(deleted, "service", "WAITS FOR", "waiting for app")

	s.delete("", "secrets", "shop-credentials")
	s.cell(s.run("explain", "shop", "shop"), "credentials", "WAITS FOR", `waiting for external reference "credentials": not found`)

	for what, want := range map[string]string{
		"shop/nothing":  "there is no shops.cli.example.com NAMESPACE/nothing",
		"nothings/shop": `find the kind "nothings"`,
		"configmap/kube-root-ca.crt": "ConfigMap NAMESPACE/kube-root-ca.crt is no instance of a graph: " +
			"no ResourceGraphDefinition makes the kind ConfigMap",
	} {
		if got := s.run("explain", what); !strings.Contains(got, want) {
			t.Errorf("explain %s: got %q, want it to say %q", what, got, want)
		}
	}
}

// delete deletes an object and waits for nothing but the server.
func (s *shop) delete(group, resource, name string) {
	s.t.Helper()

	objects := s.manager.dynamic.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}).Namespace(s.namespace)

	if err := objects.Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// cell compares a cell of the table that explain prints.
func (s *shop) cell(table, node, column, want string) {
	s.t.Helper()

	var head string

	for line := range strings.Lines(table) {
		switch {
		case strings.HasPrefix(line, "NODE "):
			head = line
		case head != "" && strings.HasPrefix(line, node+" "):
			at := strings.Index(head, column)
			got, _, _ := strings.Cut(strings.TrimSuffix(line[at:], "\n"), "   ")

			if got != want {
				s.t.Errorf("%s of %s: got %q, want %q in\n%s", column, node, got, want, table)
			}

			return
		}
	}

	s.t.Errorf("there is no line of %s in\n%s", node, table)
}
