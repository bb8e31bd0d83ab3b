package workload

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// foreign is an object of the kind, with fields that our libraries do not know.
func foreign(e external) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{
			"namespace": "shop", "name": "web", "uid": "u1",
			"annotations": map[string]any{"mine": "1"},
		},
		"spec": map[string]any{
			"fromTheFuture": map[string]any{"replicasAtNight": int64(9007199254740993)},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
				"spec": map[string]any{
					"teleport": true,
					"containers": []any{
						map[string]any{"name": "side", "image": "s"},
						map[string]any{
							"name": "main", "image": "m", "warmth": int64(9007199254740993),
							"env": []any{
								map[string]any{"name": "FIRST", "value": "1", "colour": "red"},
								map[string]any{"name": "STAKATER_APP_CONFIGMAP", "value": "old"},
								map[string]any{"name": "LAST", "value": "3"},
							},
						},
					},
				},
			},
		},
	}}
	u.SetGroupVersionKind(e.resource.GroupVersion().WithKind(string(e.kind)))

	return u
}

func stored(t *testing.T, c client.Client, e external) *unstructured.Unstructured {
	t.Helper()

	obj, _ := e.New()
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "web"}, obj); err != nil {
		t.Fatal(err)
	}

	u, _ := obj.(*unstructured.Unstructured)

	return u
}

func setApp() *Change {
	return &Change{
		Annotations:         map[string]*string{"carried": new("x")},
		TemplateAnnotations: map[string]*string{"content": new("y")},
		Variables:           []VariableChange{{Container: "main", Name: "STAKATER_APP_CONFIGMAP", Value: "new"}},
	}
}

func TestForeignKindsKeepEveryFieldThatWeDoNotKnow(t *testing.T) {
	t.Parallel()

	for _, e := range []external{rollouts(), deploymentConfigs()} {
		t.Run("§10 a "+string(e.kind)+" newer than our libraries survives a write", func(t *testing.T) {
			t.Parallel()

			c := cluster(t, interceptor.Funcs{}, foreign(e))

			result, err := e.Carry(t.Context(), c, observedAs(e.kind, "u1"), setApp())
			if err != nil {
				t.Fatal(err)
			}

			want := foreign(e)
			want.SetAnnotations(map[string]string{"mine": "1", "carried": "x"})

			template, _, _ := unstructured.NestedMap(want.Object, "spec", "template")
			containers, _, _ := unstructured.NestedSlice(template, "spec", "containers")
			main, _ := containers[1].(map[string]any)
			main["env"].([]any)[1].(map[string]any)["value"] = "new"

			for _, err := range []error{
				unstructured.SetNestedSlice(template, containers, "spec", "containers"),
				unstructured.SetNestedField(template, "y", "metadata", "annotations", "content"),
				unstructured.SetNestedMap(want.Object, template, "spec", "template"),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}

			got := stored(t, c, e)
			if diff := cmp.Diff(want.Object["spec"], got.Object["spec"]); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}

			if diff := cmp.Diff(want.GetAnnotations(), got.GetAnnotations()); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}

			if result.Object.GetResourceVersion() != got.GetResourceVersion() {
				t.Errorf("the answer is version %q, stored is %q", result.Object.GetResourceVersion(), got.GetResourceVersion())
			}
		})
	}
}

func TestForeignKindsAddAndRemoveVariables(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		change VariableChange
		want   map[string]string
	}{
		"§6 an absent variable is added": {
			VariableChange{Container: "main", Name: "STAKATER_DB_SECRET", Value: "h"},
			map[string]string{"FIRST": "1", "STAKATER_APP_CONFIGMAP": "old", "LAST": "3", "STAKATER_DB_SECRET": "h"},
		},
		"§8 a variable is removed": {
			VariableChange{Container: "main", Name: "STAKATER_APP_CONFIGMAP", Remove: true},
			map[string]string{"FIRST": "1", "LAST": "3"},
		},
		"a variable that is gone already is removed without trouble": {
			VariableChange{Container: "main", Name: "STAKATER_DB_SECRET", Remove: true},
			map[string]string{"FIRST": "1", "STAKATER_APP_CONFIGMAP": "old", "LAST": "3"},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			e := rollouts()
			c := cluster(t, interceptor.Funcs{}, foreign(e))

			if _, err := e.Carry(t.Context(), c, observedAs(Rollout, "u1"), &Change{Variables: []VariableChange{tc.change}}); err != nil {
				t.Fatal(err)
			}

			template, err := e.Template(stored(t, c, e))
			if err != nil {
				t.Fatal(err)
			}

			got := map[string]string{}
			for _, v := range template.Spec.Containers[1].Env {
				got[v.Name] = v.Value
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("env (-want +got):\n%s", diff)
			}
		})
	}
}

func TestForeignKindsAreDecidedAgainWhenTheyAreNotWhatWasSeen(t *testing.T) {
	t.Parallel()

	e := rollouts()
	missing := &Change{Variables: []VariableChange{{Container: "gone", Name: "A", Value: "1"}}}

	for name, tc := range map[string]struct {
		uid    types.UID
		change *Change
	}{
		"the container is no longer there":        {"u1", missing},
		"it was deleted and made again meanwhile": {"u0", setApp()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := cluster(t, interceptor.Funcs{}, foreign(e))
			before := stored(t, c, e)

			if _, err := e.Carry(t.Context(), c, observedAs(Rollout, tc.uid), tc.change); !errors.Is(err, ErrChanged) {
				t.Errorf("want ErrChanged, got %v", err)
			}

			if diff := cmp.Diff(before.Object, stored(t, c, e).Object); diff != "" {
				t.Errorf("it was written all the same (-before +after):\n%s", diff)
			}
		})
	}
}

func TestForeignKindsTakeAnotherWritersEditAlongAfterAConflict(t *testing.T) {
	t.Parallel()

	e := deploymentConfigs()
	resource := schema.GroupResource{Group: e.resource.Group, Resource: e.resource.Resource}
	updates := 0
	c := cluster(t, interceptor.Funcs{Update: func(
		ctx context.Context, w client.WithWatch, obj client.Object, opts ...client.UpdateOption,
	) error {
		updates++
		if updates == 1 { // somebody scales it between our read and our write
			other, _ := e.New()
			if err := w.Get(ctx, client.ObjectKeyFromObject(obj), other); err != nil {
				return err
			}

			other.SetLabels(map[string]string{"scaled": "yes"})

			if err := w.Update(ctx, other); err != nil {
				return err
			}
		}

		return w.Update(ctx, obj, opts...)
	}}, foreign(e))

	if _, err := e.Carry(t.Context(), c, observedAs(DeploymentConfig, "u1"), setApp()); err != nil {
		t.Fatal(err)
	}

	got := stored(t, c, e)
	if got.GetLabels()["scaled"] != "yes" || got.GetAnnotations()["carried"] != "x" || updates != 2 {
		t.Errorf("labels %v, annotations %v after %d updates", got.GetLabels(), got.GetAnnotations(), updates)
	}

	always := cluster(t, interceptor.Funcs{Update: func(
		context.Context, client.WithWatch, client.Object, ...client.UpdateOption,
	) error {
		return apierrors.NewConflict(resource, "web", nil)
	}}, foreign(e))
	if _, err := e.Carry(t.Context(), always, observedAs(DeploymentConfig, "u1"), setApp()); !apierrors.IsConflict(err) {
		t.Errorf("a conflict without end: want a conflict, got %v", err)
	}
}

func TestForeignKindsPause(t *testing.T) {
	t.Parallel()

	e := deploymentConfigs()
	c := cluster(t, interceptor.Funcs{}, foreign(e))

	if _, err := e.Carry(t.Context(), c, observedAs(DeploymentConfig, "u1"), &Change{Paused: new(true)}); err != nil {
		t.Fatal(err)
	}

	if paused, _, _ := unstructured.NestedBool(stored(t, c, e).Object, "spec", "paused"); !paused {
		t.Error("it is not paused")
	}
}

func TestSection10RolloutStrategyRestartSetsRestartAtAlone(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("east", 3600))

	for name, tc := range map[string]struct {
		annotations map[string]*string
		want        string
	}{
		"with a marker on the metadata": {
			map[string]*string{"carried": new("x")},
			`{"metadata":{"annotations":{"carried":"x"},"uid":"u1"},"spec":{"restartAt":"2026-03-01T12:00:00Z"}}`,
		},
		"without annotations it removes none": {
			nil, `{"metadata":{"uid":"u1"},"spec":{"restartAt":"2026-03-01T12:00:00Z"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			e := rollouts()

			var got string

			c := cluster(t, interceptor.Funcs{Patch: func(
				ctx context.Context, w client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption,
			) error {
				data, err := patch.Data(obj)
				if err != nil || patch.Type() != types.MergePatchType {
					t.Errorf("patch type %s: %v", patch.Type(), err)
				}

				got = string(data)

				return w.Patch(ctx, obj, patch, opts...)
			}}, foreign(e))

			change := &Change{RestartAt: &at, Annotations: tc.annotations}
			if _, err := e.Carry(t.Context(), c, observedAs(Rollout, "u1"), change); err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}

			if u := stored(t, c, e); u.GetAnnotations()["mine"] != "1" {
				t.Errorf("somebody else's annotations are gone: %v", u.GetAnnotations())
			}
		})
	}
}
