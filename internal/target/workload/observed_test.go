package workload

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/refs"
)

func ours(key string) bool { return strings.HasPrefix(key, "ours/") }

func TestObserveKeepsWhatADecisionNeeds(t *testing.T) {
	t.Parallel()

	made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"ours/b": "2", "theirs": "x"}},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "init", Env: []corev1.EnvVar{{Name: "STAKATER_NOT_COUNTED", Value: "i"}}}},
			Containers: []corev1.Container{
				{Name: "main", Image: "m", Env: []corev1.EnvVar{{Name: "PLAIN", Value: "p"}, {Name: "STAKATER_APP_CONFIGMAP", Value: "h"}}},
				{Name: "side", EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{
					LocalObjectReference: corev1.LocalObjectReference{Name: "db"},
				}}}},
			},
		},
	}
	object := metav1.ObjectMeta{
		Namespace: "shop", Name: "web", UID: "u1", ResourceVersion: "7", CreationTimestamp: metav1.NewTime(made),
		Annotations: map[string]string{"ours/a": "1", "theirs": "x"},
	}
	kept := func(kind Kind) *Observed {
		return &Observed{
			Ref: Ref{Kind: kind, Namespace: "shop", Name: "web"}, UID: "u1", ResourceVersion: "7", Created: made,
			Annotations: map[string]string{"ours/a": "1"}, TemplateAnnotations: map[string]string{"ours/b": "2"},
			Uses:           []refs.Use{{Kind: refs.Secret, Name: "db", Container: "side"}},
			FirstContainer: "main",
			Variables:      []Variable{{Container: "main", Name: "STAKATER_APP_CONFIGMAP", Value: "h"}},
		}
	}
	running := batchv1.CronJobStatus{Active: []corev1.ObjectReference{{Name: "web-1"}}}
	jobTemplate := batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}

	cases := map[string]struct {
		adapter Adapter
		object  client.Object
		want    func(*Observed)
	}{
		"§9 a Deployment": {
			adapter: deployments{},
			object:  &appsv1.Deployment{ObjectMeta: object, Spec: appsv1.DeploymentSpec{Template: template}},
		},
		"§11 a paused Deployment": {
			adapter: deployments{},
			object:  &appsv1.Deployment{ObjectMeta: object, Spec: appsv1.DeploymentSpec{Template: template, Paused: true}},
			want:    func(o *Observed) { o.Paused = true },
		},
		"§9 a StatefulSet": {
			adapter: statefulSets{},
			object:  &appsv1.StatefulSet{ObjectMeta: object, Spec: appsv1.StatefulSetSpec{Template: template}},
		},
		"§9 a DaemonSet": {
			adapter: daemonSets{},
			object:  &appsv1.DaemonSet{ObjectMeta: object, Spec: appsv1.DaemonSetSpec{Template: template}},
		},
		"§2 a CronJob's pod template is that of its Jobs": {
			adapter: cronJobs{},
			object:  &batchv1.CronJob{ObjectMeta: object, Spec: batchv1.CronJobSpec{JobTemplate: jobTemplate}, Status: running},
		},
		"a suspended CronJob that forbids concurrency and runs": {
			adapter: cronJobs{},
			object: &batchv1.CronJob{ObjectMeta: object, Status: running, Spec: batchv1.CronJobSpec{
				JobTemplate: jobTemplate, Suspend: new(true), ConcurrencyPolicy: batchv1.ForbidConcurrent,
			}},
			want: func(o *Observed) { o.Suspended, o.Busy = true, true },
		},
		"a CronJob that forbids concurrency and does not run": {
			adapter: cronJobs{},
			object: &batchv1.CronJob{ObjectMeta: object, Spec: batchv1.CronJobSpec{
				JobTemplate: jobTemplate, Suspend: new(false), ConcurrencyPolicy: batchv1.ForbidConcurrent,
			}},
		},
		"§9 a Job": {
			adapter: jobs{},
			object:  &batchv1.Job{ObjectMeta: object, Spec: batchv1.JobSpec{Template: template, Suspend: new(true)}},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			before := tc.object.DeepCopyObject()

			got, err := Observe(tc.adapter, tc.object, ours)
			if err != nil {
				t.Fatal(err)
			}

			want := kept(tc.adapter.Kind())
			if tc.want != nil {
				tc.want(want)
			}

			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("observed (-want +got):\n%s", diff)
			}

			if diff := cmp.Diff(before, tc.object); diff != "" {
				t.Errorf("the object was changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestObserveTellsAStandIn(t *testing.T) {
	t.Parallel()

	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{ReplacesAnnotation: "web"}}}

	o, err := Observe(jobs{}, job, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}

	if !(jobs{}).Unfinished(o) || o.Replaces != "web" {
		t.Errorf("a stand-in is not recognized: %+v", o)
	}

	if plain, err := Observe(jobs{}, old(), ours); err != nil || (jobs{}).Unfinished(plain) {
		t.Errorf("a plain Job is taken for a stand-in: %+v, %v", plain, err)
	}
}

func TestObserveTellsWhoseTemplateARolloutBorrows(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		adapter external
		ref     map[string]any
		want    string
	}{
		"§4 a Deployment's":                      {rollouts(), map[string]any{"kind": "Deployment", "name": "web"}, "web"},
		"not that of a kind that we cannot read": {rollouts(), map[string]any{"kind": "PodTemplate", "name": "web"}, ""},
		"nobody's":                               {rollouts(), nil, ""},
		"a DeploymentConfig borrows none":        {deploymentConfigs(), map[string]any{"kind": "Deployment", "name": "web"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			u := foreign(tc.adapter)
			if tc.ref != nil {
				if err := unstructured.SetNestedMap(u.Object, tc.ref, "spec", "workloadRef"); err != nil {
					t.Fatal(err)
				}
			}

			if err := unstructured.SetNestedField(u.Object, true, "spec", "paused"); err != nil {
				t.Fatal(err)
			}

			o, err := Observe(tc.adapter, u, ours)
			if err != nil {
				t.Fatal(err)
			}

			if o.TemplateOf != tc.want || !o.Paused {
				t.Errorf("borrowed of %q, want %q; paused %v", o.TemplateOf, tc.want, o.Paused)
			}
		})
	}
}

func TestObserveSaysWhichObjectCannotBeRead(t *testing.T) {
	t.Parallel()

	for name, template := range map[string]any{
		"a template that is a list": []any{},
		"containers that are a map": map[string]any{"spec": map[string]any{"containers": map[string]any{}}},
	} {
		u := foreign(rollouts())
		u.Object["spec"] = map[string]any{"template": template}

		if o, err := Observe(rollouts(), u, ours); err == nil || !strings.Contains(err.Error(), "Rollout shop/web") {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

func TestObservedAnswers(t *testing.T) {
	t.Parallel()

	o := &Observed{
		Ref:  Ref{Kind: Deployment, Namespace: "payments", Name: "api"},
		Uses: []refs.Use{{Kind: refs.Secret, Name: "db", Container: "main"}}, Variables: []Variable{{"main", "A", "1"}},
	}

	if got := o.String(); got != "Deployment payments/api" {
		t.Errorf("reference %q", got)
	}

	if use, ok := o.Use(refs.Key{Kind: refs.Secret, Namespace: "payments", Name: "db"}); !ok || use.Container != "main" {
		t.Errorf("use %+v, %v", use, ok)
	}

	if use, ok := o.Use(refs.Key{Kind: refs.ConfigMap, Namespace: "payments", Name: "db"}); ok {
		t.Errorf("a ConfigMap of the Secret's name: %+v", use)
	}

	if v, ok := o.Variable("main", "A"); !ok || v != "1" {
		t.Errorf("variable %q, %v", v, ok)
	}

	if v, ok := o.Variable("side", "A"); ok {
		t.Errorf("a variable of another container: %q", v)
	}

	other := &Observed{TemplateAnnotations: map[string]string{"a": "1"}}
	if o.SameAnnotations(other) || !other.SameAnnotations(&Observed{TemplateAnnotations: map[string]string{"a": "1"}}) {
		t.Error("annotations are compared wrongly")
	}
}

// Whatever a Deployment holds, nothing of it is kept that no decision reads: no value of a Secret that somebody
// wrote into the manifest can leak from here.
func TestObserveNeverKeepsWhatItDoesNotNeed(t *testing.T) {
	t.Parallel()

	text := rapid.StringMatching(`[a-z]{3,8}`)

	rapid.Check(t, func(t *rapid.T) {
		private := func(label string) string { return "private-" + text.Draw(t, label) }
		annotations := func(label string) map[string]string {
			m := map[string]string{}
			for range rapid.IntRange(0, 4).Draw(t, label) {
				m["theirs/"+text.Draw(t, "key")] = private("value")
				m["ours/"+text.Draw(t, "key")] = "wanted"
			}

			return m
		}

		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web", UID: types.UID("u1"), Annotations: annotations("annotations"),
			Labels: map[string]string{"app": private("label")}, Finalizers: []string{private("finalizer")},
		}}
		d.Spec.Template.Annotations = annotations("template annotations")
		d.Spec.Template.Spec.ServiceAccountName = private("account")

		for range rapid.IntRange(0, 3).Draw(t, "containers") {
			d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{
				Name: text.Draw(t, "container"), Image: private("image"), Command: []string{private("command")},
				Env: []corev1.EnvVar{
					{Name: private("variable"), Value: private("value")},
					{Name: VariablePrefix + strings.ToUpper(text.Draw(t, "marker")) + "_SECRET", Value: "marker"},
					{Name: VariablePrefix + strings.ToUpper(text.Draw(t, "the user's own")) + "_TOKEN", Value: private("token")},
				},
			})
		}

		o, err := Observe(deployments{}, d, ours)
		if err != nil {
			t.Fatal(err)
		}

		for _, set := range []map[string]string{o.Annotations, o.TemplateAnnotations} {
			for k := range set {
				if !ours(k) {
					t.Errorf("the annotation %s is kept", k)
				}
			}
		}

		if kept := cmp.Diff(&Observed{}, o); strings.Contains(kept, "private-") {
			t.Errorf("kept what nobody asks for:\n%s", kept)
		}

		if got, want := len(o.Variables), len(d.Spec.Template.Spec.Containers); got != want {
			t.Errorf("%d marker variables, want %d", got, want)
		}
	})
}
