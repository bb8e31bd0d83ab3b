package graph_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

// picky are objects that the server writes otherwise than they are applied, or that others write to as well.
const picky = `
- {id: secret, template: {apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {password: "${schema.spec.value}"}}}
- {id: account, template: {apiVersion: v1, kind: ServiceAccount, metadata: {name: s}}}
- {id: empty, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: empty, labels: {}, annotations: {}}, data: {}, binaryData: {b: "AAEC"}}}
- id: workload
  template:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: s}
    spec:
      replicas: 1
      paused: false
      selector: {matchLabels: {app: s}}
      template:
        metadata: {labels: {app: s}, annotations: {v: "${secret.metadata.resourceVersion}"}}
        spec:
          serviceAccountName: ${account.metadata.name}
          terminationGracePeriodSeconds: 0
          containers:
            - name: main
              image: nginx
              command: []
              env: [{name: EMPTY, value: ""}, {name: FULL, value: "1"}]
              ports: [{containerPort: 80}]
              resources: {requests: {cpu: "0.5", memory: "0.5Gi"}, limits: {cpu: 1000m, memory: "1024Mi"}}
          volumes: [{name: tmp, emptyDir: {sizeLimit: "1024Ki"}}]
- id: service
  template: {apiVersion: v1, kind: Service, metadata: {name: s}, spec: {selector: {app: s}, ports: [{name: web, port: 80}, {name: metrics, port: 81, protocol: TCP}]}}
- id: scaler
  template:
    apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: s}
    spec:
      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: "${workload.metadata.name}"}
      minReplicas: 1
      maxReplicas: 3
      metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
- id: quota
  template: {apiVersion: v1, kind: ResourceQuota, metadata: {name: s}, spec: {hard: {requests.cpu: "10000m", pods: "1000"}}}
- id: budget
  template: {apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: s}, spec: {minAvailable: "50%", selector: {matchLabels: {app: s}}}}
- id: policy
  template:
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: s}
    spec: {podSelector: {}, ingress: [{}], policyTypes: [Ingress]}
- id: job
  template:
    apiVersion: batch/v1
    kind: CronJob
    metadata: {name: s}
    spec:
      schedule: "0 0 1 1 *"
      suspend: true
      jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: nginx}]}}}}
- id: role
  template: {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: s}, rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}
- id: binding
  template:
    apiVersion: rbac.authorization.k8s.io/v1
    kind: RoleBinding
    metadata: {name: s}
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: "${role.metadata.name}"}
    subjects: [{kind: ServiceAccount, name: s}]
- id: claim
  template: {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: s}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: "0.5Gi"}}}}
- id: set
  template:
    apiVersion: apps/v1
    kind: StatefulSet
    metadata: {name: s}
    spec:
      replicas: 0
      serviceName: s
      selector: {matchLabels: {app: set}}
      template: {metadata: {labels: {app: set}}, spec: {containers: [{name: main, image: nginx}]}}
      volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: "1024Mi"}}}}]
- id: ingress
  template:
    apiVersion: networking.k8s.io/v1
    kind: Ingress
    metadata: {name: s}
    spec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: "${service.metadata.name}", port: {number: 80}}}}]}}]}`

const pickyStatus = `
spec: {value: string | default=one}
status: {whole: "${double(workload.spec.replicas)}", half: "${double(workload.spec.replicas) / 2.0}", ready: "${workload.status.availableReplicas}"}`

func TestNothingIsWrittenTwice(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.start()
	w.define("App", pickyStatus, picky)
	w.define("Probe", names, `
- {id: a, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}}}`)
	w.make("App", "shop", "{}")
	w.reaches("App", "shop", "ACTIVE")
	w.with(w.instance("App", "shop"), int64(1), "status", "ready")
	w.settle(r)

	applied := map[string]int{}

	for _, q := range w.about(r) {
		if strings.Contains(q, "fieldManager=kro.run%2Fapplyset&") {
			applied[q]++
		}
	}

	w.same("kinds of objects that were applied", strings.Count(picky, "id: "), len(applied))

	for q, times := range applied {
		w.same("applies by "+q, 1, times)
	}

	before := len(w.about(r))

	// Nobody's change of what nobody reads.
	w.merge(w.instance("App", "shop"), `{"metadata":{"annotations":{"example.com/note":"x"}}}`)
	w.merge(w.object("v1", "Service", "s"), `{"metadata":{"annotations":{"example.com/note":"x"}}}`)
	w.settle(r)
	w.same("requests about an instance that is as it should be", 0, len(w.about(r)[before:]))

	r.stop()

	later := w.start()
	w.settle(later)

	var writes []string

	for _, q := range later.requests.Seen() {
		if !strings.HasPrefix(q, "GET ") && !strings.Contains(q, "probe") {
			writes = append(writes, q)
		}
	}

	w.same("writes of a manager that comes later", []string(nil), writes)

	// What it does not remember it can still tell from drift.
	w.merge(w.object("v1", "Service", "s"), `{"spec":{"selector":{"app":"other"}}}`)
	w.with(w.object("v1", "Service", "s"), map[string]any{"app": "s"}, "spec", "selector")
	w.make("App", "shop", "{value: two}")
	w.with(w.object("v1", "Secret", "s"), "dHdv", "data", "password")
}

// settle has a run do something else that takes about as long as whatever it may still be at.
func (w *world) settle(r *run) {
	w.Helper()

	for i := range 3 {
		name := fmt.Sprintf("probe-%d-%d", len(r.requests.Seen()), i)
		w.make("Probe", name, "{}")
		w.reaches("Probe", name, "ACTIVE")
	}
}

// about are the requests about the objects of the test that are no probes.
func (w *world) about(r *run) []string {
	var list []string

	for _, q := range r.requests.Seen() {
		if strings.Contains(q, "/namespaces/"+w.namespace+"/") && !strings.Contains(q, "probe") {
			list = append(list, q)
		}
	}

	return list
}

func TestOwnWritesDoNotWakeAnInstance(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	r := w.start()
	w.define("App", nameAndValue+"\nstatus: {v: \"${b.data.v}\"}", chain)
	w.make("App", "shop", "{}")
	w.reaches("App", "shop", "ACTIVE")
	w.make("App", "shop", "{value: two}")
	w.with(w.instance("App", "shop"), "two", "status", "v")
	w.make("App", "last", "{name: last}")
	w.reaches("App", "last", "ACTIVE")

	// A pass is counted when it is over, a little after what it writes last.
	w.must(wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, expect.Limit, true, func(context.Context) (bool, error) {
		return r.passes() >= 3, nil
	}))
	w.same("passes for two creations and a change", 3.0, r.passes())
}

// passes is how many looks at instances there have been.
func (r *run) passes() float64 {
	r.Helper()

	families, err := r.registry.Gather()
	r.must(err)

	for _, f := range families {
		if f.GetName() == "instance_reconcile_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}

	return 0
}

func TestAnInstanceThatIsRemadeIsAnother(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.start()
	w.define("App", nameAndValue, chain)

	for range 3 {
		w.make("App", "shop", "{}")

		o := w.reaches("App", "shop", "ACTIVE")
		w.with(w.config("app-b"), string(o.GetUID()), "metadata", "labels", "kro.run/instance-id")
		w.delete(o)
		w.eventually(w.config("app-a"), "to be its own", func(*unstructured.Unstructured) bool { return true })
		w.gone(o)
	}
}
