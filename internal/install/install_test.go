package install_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/config"
	"github.com/lockstep-dev/lockstep/internal/install"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

// The tests of this file install the same cluster-wide objects, so they run one after the other.

const limit = time.Minute

// story is one installation on the plane, and what was reported about it.
type story struct {
	t         *testing.T
	client    client.Client
	installer *install.Installer
	reported  []string
}

func newStory(t *testing.T) *story {
	t.Helper()

	s := &story{t: t, client: plane.Client(t)}

	var err error

	s.installer, err = install.New(plane.Config(t), func(r install.Result) {
		line := install.Name(r.Object) + " " + string(r.Outcome)
		if r.Note != "" {
			line += ": " + r.Note
		}

		s.reported = append(s.reported, line)
	})
	if err != nil {
		t.Fatal(err)
	}

	return s
}

func (s *story) render(files fs.FS, o install.Options) []*unstructured.Unstructured {
	s.t.Helper()

	objects, err := install.Render(files, o)
	if err != nil {
		s.t.Fatal(err)
	}

	// Whatever a test leaves behind would be in the way of the next one.
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), limit)
		defer cancel()

		if err := s.installer.Uninstall(ctx, objects, install.UninstallOptions{}); err != nil {
			s.t.Errorf("clean up: %v", err)
		}
	})

	return objects
}

func (s *story) install(objects []*unstructured.Unstructured, o install.ApplyOptions) []string {
	s.t.Helper()

	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()

	s.reported = nil
	if err := s.installer.Install(ctx, objects, o); err != nil {
		s.t.Fatalf("install: %v", err)
	}

	return s.reported
}

func (s *story) uninstall(objects []*unstructured.Unstructured) []string {
	s.t.Helper()

	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()

	s.reported = nil
	if err := s.installer.Uninstall(ctx, objects, install.UninstallOptions{}); err != nil {
		s.t.Fatalf("uninstall: %v", err)
	}

	return s.reported
}

func (s *story) create(obj client.Object) {
	s.t.Helper()

	if err := s.client.Create(s.t.Context(), obj); err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) missing(obj *unstructured.Unstructured) bool {
	s.t.Helper()

	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(obj.GroupVersionKind())

	err := s.client.Get(s.t.Context(), client.ObjectKeyFromObject(obj), now)
	if err != nil && !apierrors.IsNotFound(err) {
		s.t.Fatal(err)
	}

	return err != nil
}

func all(objects []*unstructured.Unstructured, outcome install.Outcome) []string {
	lines := make([]string, 0, len(objects))
	for _, obj := range objects {
		lines = append(lines, install.Name(obj)+" "+string(outcome))
	}

	return lines
}

func reversed(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	r := slices.Clone(objects)
	slices.Reverse(r)

	return r
}

func withManager(namespace string) install.Options {
	return install.Options{Dialects: []string{"reload"}, Namespace: namespace, Image: "registry.example/lockstep:v1"}
}

func TestInstallingTwiceChangesNothingAndUninstallingLeavesNothing(t *testing.T) {
	s := newStory(t)
	o := withManager("lockstep-twice")
	o.Dialects, o.Rook = []string{"reload", "graph", "live"}, true
	objects := s.render(config.Files, o)

	for _, act := range []struct {
		what string
		do   func() []string
		want []string
	}{
		{"a dry run tells what it would create", func() []string {
			return s.install(objects, install.ApplyOptions{DryRun: true})
		}, all(objects, install.Created)},
		{"the first time everything is created", func() []string {
			return s.install(objects, install.ApplyOptions{})
		}, all(objects, install.Created)},
		{"a dry run afterwards finds nothing to do", func() []string {
			return s.install(objects, install.ApplyOptions{DryRun: true})
		}, all(objects, install.Unchanged)},
		{"the second time nothing is changed", func() []string {
			return s.install(objects, install.ApplyOptions{})
		}, all(objects, install.Unchanged)},
		{"it is taken away from the end", func() []string {
			return s.uninstall(objects)
		}, all(reversed(objects), install.Deleted)},
		{"a second time there is nothing left", func() []string {
			return s.uninstall(objects)
		}, all(reversed(objects), install.Absent)},
	} {
		if diff := cmp.Diff(act.want, act.do()); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", act.what, diff)
		}
	}

	for _, obj := range objects {
		if !s.missing(obj) {
			t.Errorf("%s is still there", install.Name(obj))
		}
	}
}

func TestInstallingAnotherImageConfiguresTheManagerAlone(t *testing.T) {
	s := newStory(t)
	o := withManager(plane.Namespace(t))
	s.install(s.render(config.Files, o), install.ApplyOptions{})

	o.Image = "registry.example/lockstep:v2"
	objects := s.render(config.Files, o)
	want := append(all(objects[:len(objects)-1], install.Unchanged), "deployment.apps/lockstep configured")
	want[0] += ": it was there before"

	if diff := cmp.Diff(want, s.install(objects, install.ApplyOptions{DryRun: true})); diff != "" {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff(want, s.install(objects, install.ApplyOptions{})); diff != "" {
		t.Errorf("install (-want +got):\n%s", diff)
	}
}

func TestInstallingDoesNotTakeOverWhatSomebodyElseOwns(t *testing.T) {
	s := newStory(t)
	name := plane.Namespace(t)
	objects := s.render(config.Files, install.Options{Dialects: []string{"reload"}, Namespace: name})
	s.install(objects, install.ApplyOptions{})

	theirs := &corev1.ServiceAccount{}
	key := client.ObjectKey{Namespace: name, Name: "lockstep"}

	if err := s.client.Get(t.Context(), key, theirs); err != nil {
		t.Fatal(err)
	}

	theirs.Labels["app.kubernetes.io/name"] = "theirs"
	if err := s.client.Update(t.Context(), theirs, client.FieldOwner("somebody-else")); err != nil {
		t.Fatal(err)
	}

	err := s.installer.Install(t.Context(), objects, install.ApplyOptions{})
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "serviceaccount/lockstep") {
		t.Errorf("got error %v, want a conflict that names the object", err)
	}

	got := s.install(objects, install.ApplyOptions{Force: true})
	if !slices.Contains(got, "serviceaccount/lockstep configured") {
		t.Errorf("forced, the service account is not configured: %v", got)
	}
}

func TestANamespaceThatWasThereBeforeIsUsedAndKept(t *testing.T) {
	s := newStory(t)
	name := plane.Namespace(t)
	objects := s.render(config.Files, install.Options{Dialects: []string{"reload"}, Namespace: name})

	if got := s.install(objects, install.ApplyOptions{})[0]; got != "namespace/"+name+" unchanged: it was there before" {
		t.Errorf("installing says %q", got)
	}

	reported := s.uninstall(objects)
	if got := reported[len(reported)-1]; got != "namespace/"+name+" kept: it was not made by lockstep install" {
		t.Errorf("uninstalling says %q", got)
	}
}

func TestANamespaceThatHoldsForeignObjectsIsKeptAndTheManagersStateIsNot(t *testing.T) {
	s := newStory(t)
	name := "lockstep-foreign"
	objects := s.render(config.Files, install.Options{Dialects: []string{"reload"}, Namespace: name})
	s.install(objects, install.ApplyOptions{})

	record := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: name, Name: "lockstep-reload-baseline-0", Labels: map[string]string{"app.kubernetes.io/managed-by": "lockstep"},
	}}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "lockstep"}}
	key := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "lockstep-live-key"}}
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "db"}}

	for _, obj := range []client.Object{record, lease, key, foreign} {
		s.create(obj)
	}

	reported := s.uninstall(objects)
	if got, want := reported[len(reported)-1], "namespace/"+name+" kept: it holds secret/db"; got != want {
		t.Errorf("uninstalling says %q, want %q", got, want)
	}

	for _, obj := range []client.Object{record, lease, key} {
		if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); !apierrors.IsNotFound(err) {
			t.Errorf("%s is still there: %v", obj.GetName(), err)
		}
	}

	if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign); err != nil {
		t.Errorf("the foreign secret: %v", err)
	}

	if err := s.client.Delete(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}

	reported = s.uninstall(objects)
	if got, want := reported[len(reported)-1], "namespace/"+name+" deleted"; got != want {
		t.Errorf("once it is empty, uninstalling says %q, want %q", got, want)
	}
}

func TestAnObjectThatSomebodyElseMadeIsKept(t *testing.T) {
	s := newStory(t)
	name := plane.Namespace(t)
	objects := s.render(config.Files, withManager(name))

	theirs := &appsv1.Deployment{}
	theirs.Namespace, theirs.Name = name, "lockstep"
	theirs.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	theirs.Spec.Template.Labels = map[string]string{"a": "b"}
	theirs.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Image: "registry.example/theirs"}}
	theirs.Spec.Replicas = new(int32(0))
	s.create(theirs)

	if got, want := s.uninstall(objects)[0], "deployment.apps/lockstep kept: it was not made by lockstep install"; got != want {
		t.Errorf("uninstalling says %q, want %q", got, want)
	}
}

// TestADefinitionIsServedBeforeWhatItDefines installs a dialect that brings a definition and an object of it.
func TestADefinitionIsServedBeforeWhatItDefines(t *testing.T) {
	s := newStory(t)
	objects := s.render(dialectWithDefinition(), install.Options{Dialects: []string{"tides"}, Namespace: plane.Namespace(t)})

	// The first is the namespace.
	if diff := cmp.Diff(all(objects[1:], install.Created), s.install(objects, install.ApplyOptions{})[1:]); diff != "" {
		t.Errorf("install (-want +got):\n%s", diff)
	}

	theirs := &unstructured.Unstructured{}
	theirs.SetGroupVersionKind(schema.GroupVersionKind{Group: "tides.example", Version: "v1", Kind: "Tide"})
	theirs.SetName("theirs")
	theirs.SetNamespace("default")
	s.create(theirs)

	want := "customresourcedefinition.apiextensions.k8s.io/tides.tides.example kept: " +
		"objects of it exist and would be deleted with it: default/theirs"
	if got := s.uninstall(objects); !slices.Contains(got, want) {
		t.Errorf("with an object left, uninstalling says\n%s", strings.Join(got, "\n"))
	}

	if err := s.client.Delete(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}

	want = "customresourcedefinition.apiextensions.k8s.io/tides.tides.example deleted"
	if got := s.uninstall(objects); !slices.Contains(got, want) {
		t.Errorf("with no object left, uninstalling says\n%s", strings.Join(got, "\n"))
	}
}

func TestDeletingObjectsComesBeforeTheManagerGoesAndStopsAtNothingElse(t *testing.T) {
	s := newStory(t)
	name := plane.Namespace(t)
	o := withManager(name)
	o.Dialects = []string{"graph"}
	objects := s.render(config.Files, o)
	s.install(objects, install.ApplyOptions{})

	theirs := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"schema": map[string]any{"apiVersion": "v1alpha1", "kind": "Shop"},
	}}}
	theirs.SetGroupVersionKind(schema.GroupVersionKind{Group: "kro.run", Version: "v1alpha1", Kind: "ResourceGraphDefinition"})
	theirs.SetName("shop")
	theirs.SetFinalizers([]string{"kro.run/finalizer"})
	s.create(theirs)

	want := "customresourcedefinition.apiextensions.k8s.io/resourcegraphdefinitions.kro.run kept: " +
		"objects of it exist and would be deleted with it: shop"
	if got := s.uninstall(objects); !slices.Contains(got, want) {
		t.Errorf("with an object left, uninstalling says\n%s", strings.Join(got, "\n"))
	}

	s.install(objects, install.ApplyOptions{})

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()

	managers := make(chan bool, 1)

	go func() {
		managers <- letGo(ctx, t, theirs, client.ObjectKey{Namespace: name, Name: "lockstep"}, &appsv1.Deployment{})
	}()

	s.reported = nil
	if err := s.installer.Uninstall(ctx, objects, install.UninstallOptions{DeleteObjects: true}); err != nil {
		t.Fatal(err)
	}

	if !<-managers {
		t.Error("the manager was gone before the object was")
	}

	if got, want := s.reported[0], "resourcegraphdefinition.kro.run/shop deleted"; got != want {
		t.Errorf("uninstalling first says %q, want %q", got, want)
	}

	if want := "customresourcedefinition.apiextensions.k8s.io/resourcegraphdefinitions.kro.run deleted"; !slices.Contains(s.reported, want) {
		t.Errorf("uninstalling says\n%s", strings.Join(s.reported, "\n"))
	}
}

// TestDeletingObjectsLeavesAStoreUntilItsConfigsAreGone lets a LiveConfig go as a manager does: once it has given back what
// was there before, for which it needs the LiveStore.
func TestDeletingObjectsLeavesAStoreUntilItsConfigsAreGone(t *testing.T) {
	s := newStory(t)
	name := plane.Namespace(t)
	objects := s.render(config.Files, install.Options{Dialects: []string{"live"}, Namespace: name})
	s.install(objects, install.ApplyOptions{})

	made := func(kind string, spec map[string]any) *unstructured.Unstructured {
		obj := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		obj.SetGroupVersionKind(schema.GroupVersionKind{Group: "lockstep.dev", Version: "v1alpha1", Kind: kind})
		obj.SetNamespace(name)
		obj.SetName("cache")

		return obj
	}

	live := made("LiveConfig", map[string]any{
		"storeRef": map[string]any{"name": "cache"}, "settings": []any{map[string]any{"name": "maxmemory", "value": "1gb"}},
	})
	live.SetFinalizers([]string{"lockstep.dev/live"})

	reached := made("LiveStore", map[string]any{"type": "Redis", "endpoints": []any{"127.0.0.1:6379"}})
	for _, obj := range []*unstructured.Unstructured{reached, live} {
		s.create(obj)
	}

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()

	stores := make(chan bool, 1)

	go func() { stores <- letGo(ctx, t, live, client.ObjectKeyFromObject(reached), reached.DeepCopy()) }()

	s.reported = nil
	if err := s.installer.Uninstall(ctx, objects, install.UninstallOptions{DeleteObjects: true}); err != nil {
		t.Fatal(err)
	}

	if !<-stores {
		t.Error("the LiveStore was gone before the LiveConfig was")
	}

	want := []string{"liveconfig.lockstep.dev/cache deleted", "livestore.lockstep.dev/cache deleted"}
	if diff := cmp.Diff(want, s.reported[:2]); diff != "" {
		t.Errorf("uninstalling says first (-want +got):\n%s", diff)
	}
}

// letGo does what a manager does with an object that is being deleted, and says whether what it needs is there at that time.
func letGo(ctx context.Context, t *testing.T, obj *unstructured.Unstructured, key client.ObjectKey, needed client.Object) bool {
	t.Helper()

	c := plane.Client(t)
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(obj.GroupVersionKind())

	w, err := c.Watch(ctx, list)
	if err != nil {
		t.Error(err)

		return false
	}
	defer w.Stop()

	for event := range w.ResultChan() {
		now, ok := event.Object.(*unstructured.Unstructured)
		if !ok || now.GetDeletionTimestamp() == nil {
			continue
		}

		err := c.Get(ctx, key, needed)

		if err := c.Patch(ctx, now, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
			t.Error(err)
		}

		return err == nil
	}

	return false
}

func TestWaitingEndsWithTheReasonOfItsContext(t *testing.T) {
	s := newStory(t)
	name := plane.Namespace(t)
	objects := s.render(config.Files, install.Options{Dialects: []string{"reload"}, Namespace: name})
	s.install(objects, install.ApplyOptions{})

	stuck := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "lockstep"}}
	finalizers := func(list string) {
		t.Helper()

		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":`+list+`}}`))
		if err := s.client.Patch(context.WithoutCancel(t.Context()), stuck, patch); err != nil {
			t.Error(err)
		}
	}

	finalizers(`["example.com/never"]`)
	t.Cleanup(func() { finalizers("null") })

	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)

	watching, err := plane.Client(t).Watch(ctx, &corev1.ServiceAccountList{}, client.InNamespace(name))
	if err != nil {
		t.Fatal(err)
	}

	errEnough := errors.New("enough")

	go func() {
		defer watching.Stop()

		for event := range watching.ResultChan() {
			if account, ok := event.Object.(*corev1.ServiceAccount); ok && account.DeletionTimestamp != nil {
				cancel(errEnough)
			}
		}
	}()

	err = s.installer.Uninstall(ctx, objects, install.UninstallOptions{})
	if !errors.Is(err, errEnough) || !strings.Contains(err.Error(), "serviceaccount/lockstep") {
		t.Errorf("got error %v, want the reason of the context and the object that is waited for", err)
	}
}

func dialectWithDefinition() fs.FS {
	files := fstest.MapFS{"dialects/tides/a-tide.yaml": {Data: []byte(`
apiVersion: tides.example/v1
kind: Tide
metadata: {name: ours, namespace: lockstep-system}
`)}, "dialects/tides/definition.yaml": {Data: []byte(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tides.tides.example}
spec:
  group: tides.example
  scope: Namespaced
  names: {kind: Tide, listKind: TideList, plural: tides, singular: tide}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`)}, "manager/namespace.yaml": {Data: []byte(`
apiVersion: v1
kind: Namespace
metadata: {name: lockstep-system}
`)}}

	return files
}

// TestTheManagerMayDoWhatItNeedsAndNotMore asks the server about the installed service account.
func TestTheManagerMayDoWhatItNeedsAndNotMore(t *testing.T) {
	s := newStory(t)
	own := plane.Namespace(t)
	s.install(s.render(config.Files, install.Options{Dialects: []string{"reload"}, Namespace: own}), install.ApplyOptions{})

	read := []string{"get", "list", "watch"}
	everywhere := map[string][]string{
		"configmaps":                 read,
		"secrets":                    read,
		"namespaces":                 read,
		"events":                     {"create", "patch"},
		"pods":                       nil,
		"serviceaccounts":            nil,
		"apps/deployments":           append([]string{"patch"}, read...),
		"apps/statefulsets":          append([]string{"patch"}, read...),
		"apps/daemonsets":            append([]string{"patch"}, read...),
		"apps/replicasets":           nil,
		"batch/cronjobs":             read,
		"batch/jobs":                 append([]string{"create", "delete"}, read...),
		"argoproj.io/rollouts":       append([]string{"patch", "update"}, read...),
		"coordination.k8s.io/leases": nil,

		"apps.openshift.io/deploymentconfigs":                        append([]string{"update"}, read...),
		"secrets-store.csi.x-k8s.io/secretproviderclasses":           read,
		"secrets-store.csi.x-k8s.io/secretproviderclasspodstatuses":  read,
		"rbac.authorization.k8s.io/clusterroles":                     nil,
		"rbac.authorization.k8s.io/rolebindings":                     nil,
		"admissionregistration.k8s.io/validatingadmissionpolicies":   nil,
		"admissionregistration.k8s.io/mutatingwebhookconfigurations": nil,
	}
	inOwn := maps.Clone(everywhere)
	inOwn["configmaps"] = []string{"get", "list", "watch", "create", "update", "patch"}
	inOwn["coordination.k8s.io/leases"] = []string{"create", "get", "update", "patch"}

	for namespace, rights := range map[string]map[string][]string{"default": everywhere, own: inOwn} {
		checkRights(t, own, namespace, rights)
	}
}

// TestTheGraphDialectMayDo_Section13WhatItsRolesSay asks the server before and after somebody adds a labelled role.
func TestTheGraphDialectMayDo_Section13WhatItsRolesSay(t *testing.T) {
	s := newStory(t)
	own := plane.Namespace(t)
	o := install.Options{Dialects: []string{"graph"}, Namespace: own}
	s.install(s.render(config.Files, o), install.ApplyOptions{})

	all := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	rights := map[string][]string{
		"internal.kro.run/other":                 nil,
		"events":                                 {"create", "patch"},
		"events.k8s.io/events":                   {"create", "patch"},
		"configmaps":                             nil,
		"secrets":                                nil,
		"serviceaccounts":                        nil,
		"apps/deployments":                       nil,
		"rbac.authorization.k8s.io/clusterroles": nil,
		"rbac.authorization.k8s.io/rolebindings": nil,
		"example.com/shops":                      nil,
		"authentication.k8s.io/userextras":       nil,
	}

	for _, resource := range []string{
		"kro.run/resourcegraphdefinitions", "kro.run/resourcegraphdefinitions/status",
		"kro.run/shops", "kro.run/shops/status", "kro.run/shops/finalizers",
		"internal.kro.run/graphrevisions", "internal.kro.run/graphrevisions/status",
		"apiextensions.k8s.io/customresourcedefinitions",
	} {
		rights[resource] = all
	}

	checkRights(t, own, "default", rights)

	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{
			Name: own, Labels: map[string]string{"rbac.kro.run/aggregate-to-controller": "true"},
		},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "patch"}},
			{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"impersonate"}},
		},
	}
	s.create(role)
	t.Cleanup(func() {
		if err := s.client.Delete(context.WithoutCancel(t.Context()), role); err != nil {
			t.Error(err)
		}
	})

	rights["configmaps"] = []string{"get", "patch"}
	rights["serviceaccounts"] = []string{"impersonate"}
	checkRights(t, own, "default", rights)

	o.Unrestricted = true
	s.install(s.render(config.Files, o), install.ApplyOptions{})

	for resource := range rights {
		rights[resource] = append([]string{"deletecollection", "impersonate"}, all...)
	}

	checkRights(t, own, "default", rights)
}

// TestTheLiveDialectMayDoWhatItNeedsAndNotMore asks the server about the installed service account, without the rights that
// Rook's objects need and with them.
func TestTheLiveDialectMayDoWhatItNeedsAndNotMore(t *testing.T) {
	s := newStory(t)
	own := plane.Namespace(t)
	o := install.Options{Dialects: []string{"live"}, Namespace: own}
	s.install(s.render(config.Files, o), install.ApplyOptions{})

	rights := map[string][]string{
		"lockstep.dev/liveconfigs":            {"list", "watch", "patch"},
		"lockstep.dev/liveconfigs/status":     {"patch"},
		"lockstep.dev/liveconfigs/finalizers": {"update"},
		"lockstep.dev/livestores":             {"list", "watch"},
		"lockstep.dev/livestores/status":      {"patch"},
		"secrets":                             {"get", "list", "watch", "create", "delete"},
		"configmaps":                          {"get", "list", "watch"},
		"discovery.k8s.io/endpointslices":     {"list", "watch"},
		"events.k8s.io/events":                {"create", "patch"},

		"events":                                 nil,
		"services":                               nil,
		"pods":                                   nil,
		"ceph.rook.io/cephclusters":              nil,
		"ceph.rook.io/cephobjectstores":          nil,
		"serviceaccounts":                        nil,
		"apps/deployments":                       nil,
		"rbac.authorization.k8s.io/clusterroles": nil,
		"rbac.authorization.k8s.io/rolebindings": nil,
		"apiextensions.k8s.io/customresourcedefinitions": nil,
	}
	checkRights(t, own, "default", rights)

	o.Rook = true
	s.install(s.render(config.Files, o), install.ApplyOptions{})

	for _, kind := range []string{"cephclusters", "cephobjectstores"} {
		rights["ceph.rook.io/"+kind] = []string{"list", "watch"}
	}

	rights["lockstep.dev/liveconfigs"] = []string{"get", "list", "watch", "create", "patch", "delete"}
	rights["lockstep.dev/livestores"] = []string{"get", "list", "watch", "create", "patch", "delete"}
	checkRights(t, own, "default", rights)
}

// TestTheClustersOwnRolesMayDo_Section13WhatPeopleNeed asks the server about people with the roles edit and view.
func TestTheClustersOwnRolesMayDo_Section13WhatPeopleNeed(t *testing.T) {
	s := newStory(t)
	own := plane.Namespace(t)
	s.install(s.render(config.Files, install.Options{Dialects: []string{"graph", "live"}, Namespace: own}), install.ApplyOptions{})

	read := []string{"get", "list", "watch"}

	for role, want := range map[string][]string{
		"view":  read,
		"edit":  append([]string{"create", "update", "patch", "delete", "deletecollection"}, read...),
		"admin": append([]string{"create", "update", "patch", "delete", "deletecollection"}, read...),
	} {
		namespace := plane.Namespace(t)
		s.create(&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: "lockstep"}},
		})
		checkRights(t, namespace, namespace, map[string][]string{
			"kro.run/shops": want, "lockstep.dev/liveconfigs": want, "lockstep.dev/livestores": want,
		})
	}
}

// checkRights asks the server what the service account lockstep of a namespace may do in another. A right may take a
// moment to arrive; what must not be allowed is asked once, afterwards.
func checkRights(t *testing.T, of, in string, rights map[string][]string) {
	t.Helper()

	clientset, err := kubernetes.NewForConfig(plane.Config(t))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()

	allowed := func(resource, verb string) bool {
		t.Helper()

		parts := strings.SplitN(resource+"//", "/", 4)
		group, name, sub := parts[0], parts[1], parts[2]

		if !strings.Contains(resource, "/") {
			group, name = "", resource
		}

		answer, err := clientset.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User: "system:serviceaccount:" + of + ":lockstep",
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: in, Group: group, Resource: name, Subresource: sub, Verb: verb,
				},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatalf("%s %s in namespace %s: %v", verb, resource, in, err)
		}

		return answer.Status.Allowed
	}

	for resource, want := range rights {
		for _, verb := range want {
			for !allowed(resource, verb) { // ends with the context
				continue
			}
		}
	}

	for resource, want := range rights {
		for _, verb := range []string{
			"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate",
		} {
			if !slices.Contains(want, verb) && allowed(resource, verb) {
				t.Errorf("%s %s in namespace %s is allowed", verb, resource, in)
			}
		}
	}
}
