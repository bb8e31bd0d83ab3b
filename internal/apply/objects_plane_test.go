package apply

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/internal/graph/builtin"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/plane"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

func objectsOf(t *testing.T) *Objects {
	t.Helper()

	config := plane.Config(t)
	config.QPS = -1

	objects, err := NewObjects(config)
	if err != nil {
		t.Fatal(err)
	}

	return objects
}

func document(t *testing.T, namespace, text string) *unstructured.Unstructured {
	t.Helper()

	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
		t.Fatal(err)
	}

	obj.SetNamespace(namespace)

	return obj
}

func configMap(t *testing.T, namespace string) *unstructured.Unstructured {
	t.Helper()

	return document(t, namespace, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: '1'}}")
}

// desired is what a template may say of kinds that the server defaults, canonicalises and completes.
const desired = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, labels: {app: web}, annotations: {}}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, creationTimestamp: null}
    spec:
      hostNetwork: false
      nodeSelector: {disk: fast}
      tolerations: [{key: spot, operator: Exists}]
      securityContext: {}
      volumes:
      - {name: config, configMap: {name: a, items: [{key: a, path: a}]}}
      - {name: scratch, emptyDir: {sizeLimit: 1024Mi}}
      containers:
      - name: web
        image: web
        command: [web, --verbose]
        ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP, name: dns}]
        env:
        - {name: EMPTY, value: ""}
        - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        resources: {limits: {cpu: 0.5, memory: 1024Mi}, requests: {cpu: "0.25"}}
        volumeMounts: [{name: config, mountPath: /config, readOnly: false}]
        readinessProbe: {httpGet: {path: /, port: 80}}
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec:
  selector: {app: web}
  clusterIP: ""
  ports: [{port: 80, name: web}, {port: 81, name: dns, protocol: UDP, targetPort: dns}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: app}
data: {a: "1", b: ""}
---
apiVersion: v1
kind: Secret
metadata: {name: app}
data: {b: Mg==}
stringData: {a: "1"}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: app}
spec:
  schedule: "@hourly"
  suspend: true
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: job, image: job, args: [run]}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: app}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app}
  maxReplicas: 3
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}
  - {type: Pods, pods: {metric: {name: requests}, target: {type: AverageValue, averageValue: 1000}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: app}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {}}, {namespaceSelector: {matchLabels: {team: shop}}}]
    ports: [{port: 80}, {port: web}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: app}
spec:
  rules:
  - host: shop.example.test
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: app, port: {number: 80}}}}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: app}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1024Mi}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: app}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
`

func TestTheServersAnswerCarriesWhatWasApplied(t *testing.T) {
	t.Parallel()

	objects, namespace, schemas := objectsOf(t), plane.Namespace(t), builtin.New()

	for text := range strings.SplitSeq(desired, "---\n") {
		obj := document(t, namespace, text)

		t.Run(obj.GetKind(), func(t *testing.T) {
			t.Parallel()

			kind, err := schemas.Kind(obj.GroupVersionKind())
			if err != nil {
				t.Fatal(err)
			}

			answer, err := objects.Apply(t.Context(), kind.Resource, obj, "tester")
			if err != nil {
				t.Fatal(err)
			}

			if !Carries(answer.Object, obj.Object, kind.Schema) {
				t.Errorf("the answer does not carry it: %v", answer.Object)
			}

			spoiled := obj.DeepCopy()
			spoiled.SetLabels(map[string]string{"app": "other"})

			if Carries(answer.Object, spoiled.Object, kind.Schema) {
				t.Error("the answer carries what was not applied")
			}
		})
	}
}

func TestWritesNameTheirOwnerAndDoWhatTheySay(t *testing.T) {
	t.Parallel()

	objects, namespace := objectsOf(t), plane.Namespace(t)
	key := types.NamespacedName{Namespace: namespace, Name: "a"}

	dry, err := objects.Apply(t.Context(), configMaps, configMap(t, namespace), "tester", DryRun())
	if err != nil || dry.GetUID() == "" {
		t.Fatalf("dry run: %v, %v", dry, err)
	}

	if _, err := objects.Get(t.Context(), configMaps, key); !apierrors.IsNotFound(err) {
		t.Fatalf("a dry run writes: %v", err)
	}

	made, err := objects.Apply(t.Context(), configMaps, configMap(t, namespace), "tester")
	if err != nil {
		t.Fatal(err)
	}

	if fields := made.GetManagedFields(); len(fields) != 1 || fields[0].Manager != "tester" || fields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("managed fields: %v", fields)
	}

	patched, err := objects.Patch(t.Context(), configMaps, key, map[string]any{"data": map[string]any{"a": "2"}}, "other")
	if err != nil || patched.GetResourceVersion() == made.GetResourceVersion() {
		t.Fatalf("patch: %v", err)
	}

	// What the other one owns now is taken back, not refused.
	if forced, err := objects.Apply(t.Context(), configMaps, configMap(t, namespace), "tester"); err != nil ||
		!Carries(forced.Object, configMap(t, namespace).Object, nil) {
		t.Errorf("apply again: %v, %v", forced, err)
	}

	old := map[string]any{"metadata": map[string]any{"resourceVersion": made.GetResourceVersion()}, "data": nil}
	if _, err := objects.Patch(t.Context(), configMaps, key, old, "other"); !apierrors.IsConflict(err) {
		t.Errorf("a patch of an old version: %v", err)
	}

	another := configMap(t, namespace)
	another.SetUID("another")

	if _, err := objects.Apply(t.Context(), configMaps, another, "tester"); !apierrors.IsInvalid(err) {
		t.Errorf("an apply to an object in place of which there is another: %v", err)
	}

	another.SetName("b")

	if _, err := objects.Apply(t.Context(), configMaps, another, "tester"); !apierrors.IsConflict(err) {
		t.Errorf("an apply to an object that is gone: %v", err)
	}
}

func TestTheStatusIsWrittenApart(t *testing.T) {
	t.Parallel()

	objects, namespace := objectsOf(t), plane.Namespace(t)
	services := schema.GroupVersionResource{Version: "v1", Resource: "services"}
	service := document(t, namespace, "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: LoadBalancer, ports: [{port: 80}]}}")

	made, err := objects.Apply(t.Context(), services, service, "tester")
	if err != nil {
		t.Fatal(err)
	}

	answer := made.DeepCopy()
	answer.Object["status"] = map[string]any{"loadBalancer": map[string]any{"ingress": []any{map[string]any{"ip": "10.1.1.1"}}}}

	if answer, err = objects.UpdateStatus(t.Context(), services, answer, "tester"); err != nil {
		t.Fatal(err)
	}

	ingress, _, _ := unstructured.NestedSlice(answer.Object, "status", "loadBalancer", "ingress")
	if len(ingress) != 1 || ingress[0].(map[string]any)["ip"] != "10.1.1.1" {
		t.Errorf("status: %v", answer.Object["status"])
	}

	if _, err := objects.UpdateStatus(t.Context(), services, made, "tester"); !apierrors.IsConflict(err) {
		t.Errorf("an update of an old version: %v", err)
	}
}

func TestDeleteSaysWhetherAnythingIsLeft(t *testing.T) {
	t.Parallel()

	objects, namespace, schemas := objectsOf(t), plane.Namespace(t), builtin.New()
	cases := map[string]struct {
		text string
		gone bool
	}{
		"a ConfigMap goes at once":         {"{apiVersion: v1, kind: ConfigMap, metadata: {name: gone}}", true},
		"a Service, answered with itself":  {"{apiVersion: v1, kind: Service, metadata: {name: gone}, spec: {ports: [{port: 80}]}}", true},
		"a Deployment, its pods later":     {"{apiVersion: apps/v1, kind: Deployment, metadata: {name: gone}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: a}]}}}}", true},
		"a finalizer keeps an object":      {"{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, finalizers: [example.test/hold]}}", false},
		"a PersistentVolumeClaim in usage": {"{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: kept, finalizers: [example.test/hold]}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}", false},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			obj := document(t, namespace, test.text)

			kind, err := schemas.Kind(obj.GroupVersionKind())
			if err != nil {
				t.Fatal(err)
			}

			made, err := objects.Apply(t.Context(), kind.Resource, obj, "tester")
			if err != nil {
				t.Fatal(err)
			}

			if gone, err := objects.Delete(t.Context(), kind.Resource, keyOf(obj), made.GetUID(), DryRun()); gone || err != nil {
				t.Errorf("a dry run: gone %t, %v", gone, err)
			}

			gone, err := objects.Delete(t.Context(), kind.Resource, keyOf(obj), made.GetUID())
			if gone != test.gone || err != nil {
				t.Fatalf("gone: %t, %v", gone, err)
			}

			if !gone {
				free := map[string]any{"metadata": map[string]any{"finalizers": nil}}
				if _, err := objects.Patch(t.Context(), kind.Resource, keyOf(obj), free, "tester"); err != nil {
					t.Fatal(err)
				}

				expect.Gone(t, plane.Client(t), obj)
			}

			if gone, err := objects.Delete(t.Context(), kind.Resource, keyOf(obj), made.GetUID()); !gone || err != nil {
				t.Errorf("again: gone %t, %v", gone, err)
			}

			if kind.GVK.Kind != "ConfigMap" {
				return
			}

			// Another object has the name by now, and is not touched.
			if _, err := objects.Apply(t.Context(), kind.Resource, configMapNamed(t, obj), "tester"); err != nil {
				t.Fatal(err)
			}

			if gone, err := objects.Delete(t.Context(), kind.Resource, keyOf(obj), made.GetUID()); !gone || err != nil {
				t.Errorf("of another: gone %t, %v", gone, err)
			}

			if _, err := objects.Get(t.Context(), kind.Resource, keyOf(obj)); err != nil {
				t.Errorf("the other one: %v", err)
			}
		})
	}
}

func configMapNamed(t *testing.T, like *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()

	obj := configMap(t, like.GetNamespace())
	obj.SetName(like.GetName())

	return obj
}

func TestAsAServiceAccountThereAreItsRightsAlone(t *testing.T) {
	t.Parallel()

	objects, namespace, c := objectsOf(t), plane.Namespace(t), plane.Client(t)
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "tenant"}

	if err := c.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: meta}); err != nil {
		t.Fatal(err)
	}

	tenant := objects.As(namespace, "tenant")
	if _, err := tenant.Apply(t.Context(), configMaps, configMap(t, namespace), "tester"); !apierrors.IsForbidden(err) ||
		!strings.Contains(err.Error(), "system:serviceaccount:"+namespace+":tenant") {
		t.Fatalf("without rights: %v", err)
	}

	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"create", "patch", "delete"},
	}}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "tenant"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "tenant"}},
	}

	if err := errors.Join(c.Create(t.Context(), role), c.Create(t.Context(), binding)); err != nil {
		t.Fatal(err)
	}

	made := awaitRights(t, tenant, configMap(t, namespace))
	if gone, err := tenant.Delete(t.Context(), configMaps, keyOf(made), made.GetUID()); !gone || err != nil {
		t.Errorf("delete: gone %t, %v", gone, err)
	}
}

// awaitRights applies until the server's authorizer has seen the binding.
func awaitRights(t *testing.T, o *Objects, obj *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()

	for range 1000 {
		made, err := o.Apply(t.Context(), configMaps, obj, "tester")
		if err == nil {
			return made
		}

		if !apierrors.IsForbidden(err) {
			t.Fatal(err)
		}
	}

	t.Fatal("the rights never came")

	return nil
}

func TestWhatIsSaidAboutASecretNamesNoValue(t *testing.T) {
	t.Parallel()

	objects, namespace := objectsOf(t), plane.Namespace(t)
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

	for name, text := range map[string]string{
		"a value of a wrong type":   "{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {password: 4711}}",
		"a value that is no base64": "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {password: '4711 !'}}",
		"a wrong document":          "{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: '4711'}}",
		"a key that is no key":      "{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {'no key': '4711'}}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := objects.Apply(t.Context(), secrets, document(t, namespace, text), "tester")
			if err == nil || strings.Contains(err.Error(), "4711") {
				t.Errorf("got %v", err)
			}

			t.Log(err)
		})
	}
}

func TestANameThatIsNoneReachesNoServer(t *testing.T) {
	t.Parallel()

	objects := objectsOf(t)

	for _, key := range []types.NamespacedName{
		{Namespace: "shop"}, {Namespace: "shop", Name: ".."}, {Namespace: "shop", Name: "a/b"}, {Namespace: "../..", Name: "a"},
	} {
		if _, err := objects.Delete(t.Context(), configMaps, key, ""); !errors.Is(err, errName) {
			t.Errorf("delete %q: %v", key, err)
		}

		if _, err := objects.Get(t.Context(), configMaps, key); !errors.Is(err, errName) {
			t.Errorf("get %q: %v", key, err)
		}
	}
}
