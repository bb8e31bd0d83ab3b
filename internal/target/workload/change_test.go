package workload

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// cluster is a client of an in-memory server that holds the objects, seen through the functions.
func cluster(t *testing.T, funcs interceptor.Funcs, objs ...client.Object) client.WithWatch {
	t.Helper()

	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}

	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).WithInterceptorFuncs(funcs).Build()
}

func observedAs(kind Kind, uid types.UID) *Observed {
	return &Observed{Ref: Ref{Kind: kind, Namespace: "shop", Name: "web"}, UID: uid}
}

func TestMergePatchesAreExactlyThese(t *testing.T) {
	t.Parallel()

	const uid = `{"metadata":{"uid":"u1"}`

	cases := map[string]struct {
		change Change
		want   string
	}{
		"nothing but the precondition": {Change{}, `{"metadata":{"uid":"u1"}}`},
		"§6 a variable is set by the names of its container and of itself": {
			Change{Variables: []VariableChange{{Container: "main", Name: "STAKATER_APP_CONFIGMAP", Value: "h"}}},
			uid + `,"spec":{"template":{"spec":{"containers":[{"env":[{"name":"STAKATER_APP_CONFIGMAP","value":"h"}],"name":"main"}]}}}}`,
		},
		"§8 a variable is removed by name, not by index": {
			Change{Variables: []VariableChange{{Container: "main", Name: "STAKATER_APP_CONFIGMAP", Remove: true}}},
			uid + `,"spec":{"template":{"spec":{"containers":[{"env":[{"$patch":"delete","name":"STAKATER_APP_CONFIGMAP"}],"name":"main"}]}}}}`,
		},
		"variables of one container go together, each container once": {
			Change{Variables: []VariableChange{
				{Container: "main", Name: "A", Value: "1"},
				{Container: "side", Name: "B", Value: "2"},
				{Container: "main", Name: "C", Remove: true},
			}},
			uid + `,"spec":{"template":{"spec":{"containers":[` +
				`{"env":[{"name":"A","value":"1"},{"$patch":"delete","name":"C"}],"name":"main"},` +
				`{"env":[{"name":"B","value":"2"}],"name":"side"}]}}}}`,
		},
		"§7 a template annotation": {
			Change{TemplateAnnotations: map[string]*string{"reloader.stakater.com/last-reloaded-from": new(`{"a":1}`)}},
			uid + `,"spec":{"template":{"metadata":{"annotations":{"reloader.stakater.com/last-reloaded-from":"{\"a\":1}"}}}}}`,
		},
		"an annotation is set, another removed": {
			Change{Annotations: map[string]*string{"a": new("1"), "b": nil}},
			`{"metadata":{"annotations":{"a":"1","b":null},"uid":"u1"}}`,
		},
		"§11 a pause is in the same write as the change": {
			Change{
				Paused: new(true), Annotations: map[string]*string{"paused-at": new("now")},
				Variables: []VariableChange{{Container: "main", Name: "A", Value: "1"}},
			},
			`{"metadata":{"annotations":{"paused-at":"now"},"uid":"u1"},` +
				`"spec":{"paused":true,"template":{"spec":{"containers":[{"env":[{"name":"A","value":"1"}],"name":"main"}]}}}}`,
		},
		"§11 a resumption leaves the template alone": {
			Change{Paused: new(false), Annotations: map[string]*string{"paused-at": nil}},
			`{"metadata":{"annotations":{"paused-at":null},"uid":"u1"},"spec":{"paused":false}}`,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := tc.change.merge("u1")
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEmptyIsAChangeThatWritesNothing(t *testing.T) {
	t.Parallel()

	if c := (Change{Token: "t"}); !c.Empty() {
		t.Error("a token alone is something to write")
	}

	for name, c := range map[string]Change{
		"an annotation":          {Annotations: map[string]*string{"a": nil}},
		"a template annotation":  {TemplateAnnotations: map[string]*string{"a": nil}},
		"a variable":             {Variables: []VariableChange{{Name: "A"}}},
		"the end of a pause":     {Paused: new(false)},
		"a restart of a rollout": {RestartAt: new(time.Unix(0, 0))},
	} {
		if c.Empty() {
			t.Errorf("%s is nothing to write", name)
		}
	}
}

func TestNativeKindsAreWrittenByOneMergePatch(t *testing.T) {
	t.Parallel()

	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "side"}, {Name: "main", Env: []corev1.EnvVar{{Name: "KEEP", Value: "1"}, {Name: "OLD", Value: "2"}}},
	}}}
	object := metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u1"}
	change := &Change{
		Annotations: map[string]*string{"carried": new("x")},
		Variables:   []VariableChange{{Container: "main", Name: "NEW", Value: "h"}, {Container: "main", Name: "OLD", Remove: true}},
	}

	cases := map[Kind]struct {
		adapter Adapter
		object  client.Object
	}{
		Deployment:  {deployments{}, &appsv1.Deployment{ObjectMeta: object, Spec: appsv1.DeploymentSpec{Template: template}}},
		StatefulSet: {statefulSets{}, &appsv1.StatefulSet{ObjectMeta: object, Spec: appsv1.StatefulSetSpec{Template: template}}},
		DaemonSet:   {daemonSets{}, &appsv1.DaemonSet{ObjectMeta: object, Spec: appsv1.DaemonSetSpec{Template: template}}},
	}

	for kind, tc := range cases {
		t.Run("§9 a "+string(kind)+" keeps what the change does not name", func(t *testing.T) {
			t.Parallel()

			patched := 0
			c := cluster(t, interceptor.Funcs{Patch: func(
				ctx context.Context, w client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption,
			) error {
				patched++

				if patch.Type() != types.StrategicMergePatchType {
					t.Errorf("patch type %s", patch.Type())
				}

				return w.Patch(ctx, obj, patch, opts...)
			}}, tc.object)

			result, err := tc.adapter.Carry(t.Context(), c, observedAs(kind, "u1"), change)
			if err != nil {
				t.Fatal(err)
			}

			got, err := tc.adapter.Template(result.Object)
			if err != nil {
				t.Fatal(err)
			}

			env := map[string]string{}
			for _, e := range got.Spec.Containers[1].Env {
				env[e.Name] = e.Value
			}

			if diff := cmp.Diff(map[string]string{"KEEP": "1", "NEW": "h"}, env); diff != "" {
				t.Errorf("env (-want +got):\n%s", diff)
			}

			if result.Object.GetAnnotations()["carried"] != "x" || patched != 1 {
				t.Errorf("annotations %v after %d patches", result.Object.GetAnnotations(), patched)
			}
		})
	}
}

func TestAnAdapterRefusesTheObjectOfAnother(t *testing.T) {
	t.Parallel()

	for _, a := range Adapters() {
		obj, list := a.New()
		if obj == nil || list == nil {
			t.Fatalf("%s has no type", a.Kind())
		}

		if _, err := a.Template(obj); err != nil {
			t.Errorf("%s: an empty object has no readable template: %v", a.Kind(), err)
		}

		if _, err := a.Template(&corev1.Pod{}); err == nil {
			t.Errorf("%s takes a Pod", a.Kind())
		}

		if _, err := Observe(a, &corev1.Pod{}, func(string) bool { return true }); err == nil {
			t.Errorf("%s observes a Pod", a.Kind())
		}

		if got := GroupVersionKind(a).Kind; got != string(a.Kind()) {
			t.Errorf("kind %s is served as %s", a.Kind(), got)
		}
	}
}
