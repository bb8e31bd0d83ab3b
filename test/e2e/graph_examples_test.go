package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/config"
	examples "github.com/lockstep-dev/lockstep/examples/graph"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// exhibit is an example while its instance is there.
type exhibit struct {
	*world

	instance *unstructured.Unstructured
}

// exhibits are what each example has to show, by its folder.
func exhibits() map[string]func(*exhibit) {
	return map[string]func(*exhibit){
		"web-app": (*exhibit).webApp, "secret-rotation": (*exhibit).secretRotation, "optional-ingress": (*exhibit).optionalIngress,
		"regional-shards": (*exhibit).regionalShards, "shared-settings": (*exhibit).sharedSettings,
		"team-directory": (*exhibit).teamDirectory, "health-report": (*exhibit).healthReport, "adoption": (*exhibit).adoption,
		"service-account": (*exhibit).serviceAccount, "tenant": (*exhibit).tenant, "migration": (*exhibit).migration,
		"network": (*exhibit).network, "cluster": (*exhibit).cluster, "cluster-with-network": (*exhibit).clusterWithNetwork,
	}
}

func TestExamplesOfGraphs(t *testing.T) {
	t.Parallel()

	w := newWorld(t)

	crds, err := fs.Glob(config.Files, "dialects/graph/crd/*.yaml")
	w.must(err)

	for _, file := range crds {
		stream, err := fs.ReadFile(config.Files, file)
		w.must(err)
		plane.InstallCRD(t, stream)
	}

	start(t, w.environment(), "graph-controller", "--metrics-bind-address=0", "--health-probe-bind-address=0")

	definitions := w.definitions()

	t.Run("each", func(t *testing.T) {
		for folder, shows := range exhibits() {
			t.Run(folder, func(t *testing.T) {
				t.Parallel()
				newExhibit(t, w, folder, shows)
			})
		}
	})

	// Without instances they go, and the finalizer with them.
	for _, d := range definitions {
		w.must(w.client.Delete(t.Context(), d))
		expect.Gone(t, w.client, d)
	}
}

// definitions makes the definitions of all examples, those that build on others first, and returns them when they are served.
func (w *world) definitions() []*unstructured.Unstructured {
	w.Helper()

	folders := slices.Sorted(maps.Keys(exhibits()))

	var definitions []*unstructured.Unstructured

	for _, folder := range folders {
		for _, o := range w.read(folder + "/rgd.yaml") {
			w.create(o)

			definitions = append(definitions, o)
		}
	}

	for _, folder := range []string{"network", "cluster"} {
		stream, err := examples.Files.ReadFile(folder + "/crds.yaml")
		w.must(err)
		plane.InstallCRD(w.TB.(*testing.T), stream)
	}

	for _, d := range definitions {
		expect.Object(w.TB, w.client, d, "to be served", func(o *unstructured.Unstructured) bool { return value(o, "status", "state") == "Active" })
	}

	return definitions
}

// read reads the objects of an example's file; none if there is no such file.
func (w *world) read(file string) []*unstructured.Unstructured {
	w.Helper()

	content, err := examples.Files.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}

	w.must(err)

	var objects []*unstructured.Unstructured

	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), len(content)); ; {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			w.Fatalf("%s: %v", file, err)
		}

		objects = append(objects, o)
	}
}

// newExhibit makes an instance in a namespace of its own, lets it show what it has to, and deletes it.
func newExhibit(t *testing.T, w *world, folder string, shows func(*exhibit)) {
	t.Helper()

	x := &exhibit{world: &world{TB: t, client: w.client, namespace: plane.Namespace(t)}}

	for _, o := range x.read(folder + "/before.yaml") {
		o.SetNamespace(x.namespace)
		x.create(o)
	}

	x.instance = x.read(folder + "/instance.yaml")[0]

	// A kind may be known to discovery a moment later than it is served.
	eventually(t, "the kind of the instance is known", func() bool {
		namespaced, err := x.client.IsObjectNamespaced(x.instance)
		if namespaced {
			x.instance.SetNamespace(x.namespace)
		}

		if !meta.IsNoMatchError(err) {
			x.must(err)
		}

		return err == nil
	})
	x.create(x.instance)

	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() { _ = client.IgnoreNotFound(x.client.Delete(ctx, x.instance)) })

	shows(x)

	x.must(x.client.Delete(t.Context(), x.instance))
	expect.Gone(t, x.client, x.instance)
}

// value is a field as text, empty if it is not there.
func value(o *unstructured.Unstructured, path ...string) string {
	if v, found, _ := unstructured.NestedFieldNoCopy(o.Object, path...); found {
		return fmt.Sprint(v)
	}

	return ""
}

// condition is a condition of the object as "status/reason: message".
func condition(o *unstructured.Unstructured, kind string) string {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, item := range list {
		if c, ok := item.(map[string]any); ok && c["type"] == kind {
			return fmt.Sprintf("%v/%v: %v", c["status"], c["reason"], c["message"])
		}
	}

	return ""
}

func (x *exhibit) object(apiVersion, kind, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetNamespace(x.namespace)
	o.SetName(name)

	return o
}

func (x *exhibit) config(name string) *unstructured.Unstructured {
	return x.object("v1", "ConfigMap", name)
}

func (x *exhibit) cloud(kind, name string) *unstructured.Unstructured {
	return x.object("cloud.example.com/v1", kind, name)
}

func (x *exhibit) example(kind string) *unstructured.Unstructured {
	return x.object("examples.lockstep.dev/v1alpha1", kind, x.instance.GetName())
}

// has waits until a field of an object has a value, and returns the object.
func (x *exhibit) has(o *unstructured.Unstructured, want string, path ...string) *unstructured.Unstructured {
	x.Helper()

	return expect.Object(x.TB, x.client, o, fmt.Sprintf("to have %v = %q", path, want), func(o *unstructured.Unstructured) bool {
		return value(o, path...) == want
	})
}

func (x *exhibit) active() *unstructured.Unstructured {
	x.Helper()

	return x.has(x.instance, "ACTIVE", "status", "state")
}

// says waits until a condition begins to be exactly so.
func (x *exhibit) says(kind, want string) *unstructured.Unstructured {
	x.Helper()

	return expect.Object(x.TB, x.client, x.instance, "to say "+want, func(o *unstructured.Unstructured) bool { return condition(o, kind) == want })
}

func (x *exhibit) gone(o *unstructured.Unstructured) {
	x.Helper()
	expect.Gone(x.TB, x.client, o)
}

// gives plays the cloud: it waits for an object and writes its status.
func (x *exhibit) gives(o *unstructured.Unstructured, status string) {
	x.Helper()

	o = expect.Object(x.TB, x.client, o, "to exist", func(*unstructured.Unstructured) bool { return true })
	x.must(x.client.Status().Patch(x.Context(), o, client.RawPatch(types.MergePatchType, []byte(`{"status":`+status+`}`))))
}

func (x *exhibit) webApp() {
	x.active()
	x.has(x.instance, "2", "status", "availableReplicas")
	x.has(x.instance, "storefront."+x.namespace+".svc:80", "status", "address")
	x.has(x.config("storefront-settings"), "map[CURRENCY:EUR LOG_LEVEL:info]", "data")
	x.merge(x.instance, `{"spec":{"replicas":3}}`)
	x.has(x.instance, "3", "status", "availableReplicas")
	x.active()
}

func (x *exhibit) secretRotation() {
	deployment, secret := x.object("apps/v1", "Deployment", "orders"), &corev1.Secret{ObjectMeta: x.meta("orders-db")}
	revision := []string{"spec", "template", "metadata", "annotations", "examples.lockstep.dev/secret-revision"}

	x.active()
	x.has(deployment, now(x.world, secret).ResourceVersion, revision...)
	x.merge(secret, `{"stringData":{"password":"rotated"}}`)

	rolled := x.has(deployment, now(x.world, secret).ResourceVersion, revision...)
	if rolled.GetGeneration() != 2 {
		x.Errorf("the Deployment is of generation %d, want 2: one rotation, one rollout", rolled.GetGeneration())
	}

	x.has(deployment, "3", "status", "updatedReplicas")
	x.has(x.instance, secret.ResourceVersion, "status", "secretRevision")
}

func (x *exhibit) optionalIngress() {
	ingress := x.object("networking.k8s.io/v1", "Ingress", "catalogue")

	x.active()
	x.has(ingress, "catalogue", "metadata", "name")
	x.merge(x.instance, `{"spec":{"ingress":{"enabled":false}}}`)
	x.gone(ingress)
	x.has(x.object("v1", "Service", "catalogue"), "catalogue", "metadata", "name")
	x.active()
}

func (x *exhibit) regionalShards() {
	x.active()
	x.has(x.config("store-directory"), "store-eu-a,store-eu-b,store-us-a,store-us-b", "data", "shards")
	x.has(x.config("store-us-b"), "us", "data", "region")
	x.merge(x.instance, `{"spec":{"regions":["eu"]}}`)
	x.gone(x.config("store-us-b"))
	x.has(x.config("store-directory"), "store-eu-a,store-eu-b", "data", "shards")
	x.has(x.instance, "2", "status", "count")
}

func (x *exhibit) sharedSettings() {
	x.active()
	x.has(x.config("billing"), "map[tier:standard url:https://billing.internal.example.com]", "data")
	x.merge(x.config("platform"), `{"data":{"domain":"example.org","tier":"gold"}}`)
	x.has(x.config("billing"), "map[tier:gold url:https://billing.example.org]", "data")
}

func (x *exhibit) teamDirectory() {
	x.active()
	x.has(x.config("payments-members"), "invoices,ledger", "data", "members")
	x.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: x.namespace, Name: "audit", Labels: map[string]string{"team": "payments"},
	}})
	x.has(x.config("payments-members"), "audit,invoices,ledger", "data", "members")
	x.has(x.instance, "[audit invoices ledger]", "status", "members")
}

func (x *exhibit) healthReport() {
	o := x.says("Serving", "True/AllUp: 2 of 2 serve")

	x.says("Ready", "True/Ready: ")

	if got := condition(o, "ResourcesReady"); got != "" {
		x.Errorf("the built-in condition ResourcesReady is there: %s", got)
	}

	x.has(x.instance, "2/2", "status", "ready")
}

func (x *exhibit) adoption() {
	x.active()
	x.has(x.config("legacy-settings"), "map[level:error owner:somebody]", "data")
}

func (x *exhibit) serviceAccount() {
	x.active()
	x.has(x.config("modest"), "one", "data", "value")

	// Without rights of its own, the account's instance can change nothing, though the manager could.
	role := x.object("rbac.authorization.k8s.io/v1", "Role", "graphs")
	x.merge(role, `{"rules":[]}`)
	eventually(x.TB, "the account is refused", func() bool {
		x.merge(x.instance, `{"spec":{"value":"two"},"metadata":{"annotations":{"try":"again"}}}`)
		o := now(x.world, x.instance.DeepCopy())

		return value(o, "status", "state") == "ERROR"
	})
	x.has(x.config("modest"), "one", "data", "value")
	x.merge(role, `{"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["get","create","patch","delete"]}]}`)
	x.has(x.config("modest"), "two", "data", "value")
	x.active()
}

func (x *exhibit) tenant() {
	x.active()
	x.has(x.instance, "[acme-dev acme-prod]", "status", "namespaces")

	for _, namespace := range []string{"acme-dev", "acme-prod"} {
		quota := x.object("v1", "ResourceQuota", "pods")
		quota.SetNamespace(namespace)
		x.has(quota, "5", "spec", "hard", "pods")
	}
}

func (x *exhibit) migration() {
	x.active()

	name := value(x.has(x.object("apps/v1", "Deployment", "accounts"), "1", "spec", "replicas"),
		"metadata", "annotations", "examples.lockstep.dev/migrated-by")
	x.has(x.object("batch/v1", "Job", name), "1", "status", "succeeded")
}

func (x *exhibit) network() {
	x.says("ResourcesReady", `False/NotReady: resource reconciliation failed: `+
		`waiting for unresolved resource: "subnet1": expression "vpc.status.vpcID" waits for vpc.status.vpcID; `+
		`waiting for unresolved resource: "subnet2": expression "vpc.status.vpcID" waits for vpc.status.vpcID`)
	x.gives(x.cloud("VPC", "alone"), `{"vpcID":"vpc-1"}`)
	x.active()
	x.gives(x.cloud("Subnet", "alone-private-1"), `{"subnetID":"subnet-1"}`)
	x.gives(x.cloud("Subnet", "alone-private-2"), `{"subnetID":"subnet-2"}`)
	x.has(x.instance, "subnet-1", "status", "privateSubnet1ID")
	x.has(x.instance, "subnet-2", "status", "privateSubnet2ID")
}

func (x *exhibit) cluster() {
	x.has(x.cloud("Cluster", "alone"), "[subnet-1 subnet-2]", "spec", "subnetIDs")
	x.says("ResourcesReady", `False/NotReady: resource reconciliation failed: waiting for node "cluster": readyWhen condition `+
		`evaluated to false: "cluster.status.phase == \"ACTIVE\"" (there is no cluster.status.phase yet) (waiting for readiness)`)
	x.gives(x.cloud("Cluster", "alone"), `{"phase":"ACTIVE","endpoint":"https://alone"}`)
	x.active()
	x.has(x.instance, "https://alone", "status", "endpoint")
}

func (x *exhibit) clusterWithNetwork() {
	const waiting = `False/WaitingForFields: resource reconciliation failed: waiting for fields before "cluster": `

	last := `network.status.privateSubnet1ID matching "^subnet-"`

	x.says("ResourcesReady", waiting+"network.status.privateSubnet2ID, "+last)
	x.gives(x.cloud("VPC", "shop"), `{"vpcID":"vpc-1"}`)
	x.gives(x.cloud("Subnet", "shop-private-2"), `{"subnetID":"subnet-2"}`)
	x.says("ResourcesReady", waiting+last)
	x.gives(x.cloud("Subnet", "shop-private-1"), `{"subnetID":"being made"}`)
	x.has(x.example("Network"), "being made", "status", "privateSubnet1ID")
	x.says("ResourcesReady", waiting+last)
	x.gives(x.cloud("Subnet", "shop-private-1"), `{"subnetID":"subnet-1"}`)
	x.has(x.cloud("Cluster", "shop"), "[subnet-1 subnet-2]", "spec", "subnetIDs")
	x.gives(x.cloud("Cluster", "shop"), `{"phase":"ACTIVE","endpoint":"https://shop"}`)
	x.active()
	x.has(x.instance, "https://shop", "status", "endpoint")
}

func TestExamplesOfGraphsAreValidWithoutACluster(t *testing.T) {
	t.Parallel()

	root, err := filepath.Abs("../../examples/graph")
	if err != nil {
		t.Fatal(err)
	}

	folders, err := fs.Glob(examples.Files, "*/rgd.yaml")
	if err != nil {
		t.Fatal(err)
	}

	args := []string{"graph", "validate", "--crds=" + root + "/network/crds.yaml", "--crds=" + root + "/cluster/crds.yaml"}
	tried := slices.Sorted(maps.Keys(exhibits()))

	for i, file := range folders {
		args = append(args, "--filename="+filepath.Join(root, file))
		folders[i] = filepath.Dir(file)
	}

	if diff := cmp.Diff(tried, folders); diff != "" {
		t.Errorf("examples that are tried (-) and that are there (+):\n%s", diff)
	}

	p := start(t, nil, args...)
	if code := p.exit(); code != 0 || !p.out.has(fmt.Sprintf("%d definitions: no problems, no warnings", len(folders))) {
		t.Errorf("lockstep graph validate ended with %d, want 0 and no warnings:\n%s", code, p.out)
	}

	for _, folder := range folders {
		render := slices.Concat([]string{"graph", "render", "--instance=" + filepath.Join(root, folder, "instance.yaml")}, args[2:])
		if code := start(t, nil, render...).exit(); code != 0 {
			t.Errorf("lockstep graph render of %s ended with %d, want 0", folder, code)
		}
	}
}
