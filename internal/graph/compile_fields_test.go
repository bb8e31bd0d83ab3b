package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/builtin"
)

func TestManifestsThatAServerTakesAreTaken(t *testing.T) {
	t.Parallel()

	cases := map[string]string{
		"a Deployment with quantities as numbers, probes by name and by number, and empty volumes": `
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, creationTimestamp: null, ownerReferences: [], finalizers: [a/b]}
spec:
  strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 1}}
  selector: {matchLabels: {app: a}, matchExpressions: [{key: a, operator: In, values: [b]}]}
  template:
    metadata: {labels: {app: a}, creationTimestamp: null}
    spec:
      containers:
      - name: a
        image: a
        resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 0.5, memory: "${string(schema.spec.count)}"}}
        ports: [{containerPort: 80, protocol: TCP}]
        livenessProbe: {httpGet: {path: /, port: http}, periodSeconds: 3}
        readinessProbe: {tcpSocket: {port: "${schema.spec.count}"}}
        env: [{name: A, valueFrom: {secretKeyRef: {name: "${schema.spec.name}", key: a, optional: true}}}]
      volumes: [{name: a, emptyDir: {}}, {name: b, projected: {sources: [{configMap: {name: a}}]}}]
status: {}
`,
		"a HorizontalPodAutoscaler": `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: a}
spec:
  maxReplicas: "${schema.spec.count}"
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  metrics: [{type: Resource, resource: {name: cpu, target: {type: AverageValue, averageValue: 500m}}}]
`,
		"a NetworkPolicy with empty selectors": `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 80}, {port: http}]}], policyTypes: [Ingress]}
`,
		"a ValidatingWebhookConfiguration with bytes": `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: a}
webhooks: [{name: a.b.c, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {caBundle: aGk=, url: "https://a"}}]
`,
		"a CronJob": `
apiVersion: batch/v1
kind: CronJob
metadata: {name: a}
spec: {schedule: "* * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: "a:${schema.spec.name}"}]}}}}}
`,
		"a ClusterRole": `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: a}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}
`,
		"a PersistentVolumeClaim": `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: a}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: "${schema.spec.name}"}}}
`,
		"a ControllerRevision, whose data can be anything": `
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: a}
revision: 1
data: {any: {thing: [1, "${schema.spec.count}"]}}
`,
		"a CustomResourceDefinition, whose schema contains itself": `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: "${schema.spec.name}"}
spec:
  group: a.b
  names: {kind: A, plural: as}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {a: {type: string, default: b}}}}}}}]
`,
	}

	for name, manifest := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			compile(t, fullSchema, "- id: a\n  template:"+strings.ReplaceAll(manifest, "\n", "\n    "))
		})
	}
}

func TestSchemasThatSayLittleTakeMuch(t *testing.T) {
	t.Parallel()

	const crd = `
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing, plural: things, singular: thing, listKind: ThingList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              value: %s
`

	cases := map[string]struct {
		schema, value string
		want          string
	}{
		"any value is taken where the schema says nothing":         {"{}", "[1, {a: b}]", ""},
		"an alternative is as good as another":                     {"{oneOf: [{type: string}, {type: integer}]}", "1", ""},
		"a value that no alternative takes":                        {"{anyOf: [{type: string}, {type: integer}]}", "true", "expected string or integer, got boolean"},
		"any value where an alternative says nothing":              {"{anyOf: [{type: string}, {}]}", "true", ""},
		"a list without elements' schema":                          {"{type: array}", "[1, a]", ""},
		"a number":                                                 {"{type: number}", "1", ""},
		"an integer that is written with a point":                  {"{type: integer}", "1.0", ""},
		"an integer that is none":                                  {"{type: integer}", "1.5", "expected integer, got number"},
		"values of a map":                                          {"{type: object, additionalProperties: {type: integer}}", "{a: 1, b: c}", "expected integer, got string"},
		"any value of a map":                                       {"{type: object, additionalProperties: true}", "{a: 1, b: c}", ""},
		"known fields are checked where others are taken too":      {"{type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: string}}}", "{a: 1, b: 2}", "expected string, got integer"},
		"an object in an object, with the metadata of any":         {"{type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}", "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {}}", ""},
		"an object in an object, with metadata that nobody has":    {"{type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}", "{metadata: {color: a}}", "schema not found for field color"},
		"null is left to the server":                               {"{type: string}", "null", ""},
		"a list instead of a map":                                  {"{type: object, properties: {a: {type: string}}}", "[]", "expected object, got array"},
		"an expression where the elements of a list are not known": {"{type: array}", "${[1, 'a']}", ""},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			thing := &apiextensionsv1.CustomResourceDefinition{}
			read(t, fmt.Sprintf(crd, c.schema), thing)

			value := c.value
			if strings.HasPrefix(value, "$") {
				value = `"` + value + `"`
			}

			_, err := graph.Compile(definition(t, "", "- {id: a, template: {apiVersion: example.com/v1, kind: Thing, metadata: {name: a}, spec: {value: "+value+"}}}"),
				builtin.New(thing), graph.Options{})

			var got string
			for _, p := range problems(t, err) {
				_, got, _ = strings.Cut(p, ": ")
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
		})
	}
}
